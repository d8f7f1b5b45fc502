"""Sphinx settings of the documentation: `make site` builds it, and runs every notebook for it."""

import hashlib
import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "notebooks")]

from derive import REPOSITORY  # noqa: E402 - notebooks/derive.py, just put on the path


def state_of_the_package() -> str:
    """Return a name for what the notebooks import: code, bundled data, pinned versions."""
    root, digest = HERE.parent, hashlib.sha256()
    files = [
        *(root / "siamdecon").rglob("*.py"),
        *(root / "siamdecon").rglob("*.toml"),
        *(root / "data").iterdir(),
        root / "constraints.txt",
    ]
    for path in sorted(files):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


# the notebooks answer their own questions, and train as long as a learner would
os.environ |= {"SIAMDECON_AUTO": "1", "SIAMDECON_TIER": "lab"}

project = "siamdecon"
author = copyright = "the siamdecon developers"
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_design",
    "course_pages",
]
exclude_patterns = ["conf.py", "course_pages.py", "real_grid.py", "_templates"]
templates_path = ["_templates"]
nitpicky = True
# docstrings name shapes and units where Sphinx expects the name of a class
nitpick_ignore_regex = [("py:(class|obj)", ".*")]

# Notebooks: read from the percent sources, run once, kept until their code or the package changes
nb_custom_formats = {".py": "course_pages.read"}
nb_execution_mode = "cache"
nb_execution_cache_path = str(HERE.parent / "build" / "notebooks" / state_of_the_package())
nb_execution_in_temp = True
nb_execution_timeout = 900
nb_execution_raise_on_error = True
nb_output_stderr = "remove"
nb_render_markdown_format = "myst"
nb_ipywidgets_js = {}
# a page has no kernel: what a control shows without one comes before its live view
nb_mime_priority_overrides = [("html", "text/html", 1)]
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

# Formulas, by a file that lies beside the pages
mathjax_path = "tex-svg.js"
mathjax3_config = {"options": {"enableMenu": False}}

# The package's reference
autosummary_generate = True
autodoc_member_order = "bysource"
autodoc_typehints = "none"
default_role = "autolink"
napoleon_use_param = napoleon_use_rtype = False
napoleon_preprocess_types = False

html_context = {"default_mode": "auto"}
html_theme = "pydata_sphinx_theme"
html_title = project
html_static_path = ["_static"]
html_favicon = "_static/icon.svg"
html_css_files = ["siamdecon.css"]
html_copy_source = html_show_sourcelink = False
WITHOUT_PARTS = (
    "index",
    "choose",
    "teaching",
    "teaching-notes",
    "notation",
    "glossary",
    "benchmarks",
    "public-cases",
)
html_sidebars = {name: [] for name in WITHOUT_PARTS}
html_theme_options = {
    "show_toc_level": 2,
    "navbar_align": "left",
    "icon_links": [
        {
            "name": "Source code",
            "url": REPOSITORY,
            "icon": "fa-brands fa-github",
        }
    ],
    "footer_start": ["copyright"],
    "footer_end": [],
}
