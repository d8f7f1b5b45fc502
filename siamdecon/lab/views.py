"""What a notebook shows: a live view with a kernel, HTML without one."""

import ipywidgets as widgets


def live_or_static(view: widgets.Widget, static: str) -> dict[str, object]:
    """Return both forms of a control as a MIME bundle; the notebook or the page uses the one it supports.

    The bundle is the same with ipywidgets 8 and 7; Colab has 7, which does not build a bundle itself.

    Parameters
    ----------
    view : Widget
        For a notebook with a kernel.
    static : str
        HTML for a page without one.

    Examples
    --------
    >>> sorted(live_or_static(widgets.HTML("live"), "<i>static</i>"))
    ['application/vnd.jupyter.widget-view+json', 'text/html', 'text/plain']
    """
    live = {"version_major": 2, "version_minor": 0, "model_id": view.model_id}
    return {
        "text/plain": type(view).__name__,
        "application/vnd.jupyter.widget-view+json": live,
        "text/html": static,
    }
