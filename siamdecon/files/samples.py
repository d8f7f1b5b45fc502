"""The bundled clean samples.

`python -m siamdecon.files.samples` draws the generated ones anew and writes data/manifest.json.
"""

import json
import sys
from pathlib import Path

import numpy as np
import tifffile

from siamdecon.files import phantoms
from siamdecon.files.atomic import check_sha256, sha256, write_atomically
from siamdecon.files.images import read_image

# name: what it shows. Drawn by the function of this name in `phantoms`, kept in data/.
_GENERATED = {
    "filaments": "a network of thin curved tubes, such as microtubules",
    "nuclei": "nuclei with mottled chromatin and dark nucleoli",
    "membranes": "thin walls between close-packed cells",
    "vesicles": "dots and hollow rings in a dim cytoplasm",
}
_GENERATED_SHAPE, _GENERATED_SEED = (384, 384), 1

# name: (function in skimage.data, licence as its docstring gives it, what it shows). The files
# come with scikit-image, so none is copied here and none needs a network.
_FROM_SKIMAGE = {
    "cell": ("cell", "CC0", "a cell floating in saline, by digital holography"),
    "histology": (
        "immunohistochemistry",
        "no known copyright restrictions",
        "colonic glands, grey",
    ),
    "retina": ("retina", "CC0", "the fundus of an eye, grey"),
    "microaneurysms": ("microaneurysms", "CC0", "a small detail of a retina with lesions"),
    "hubble": ("hubble_deep_field", "public domain (NASA)", "galaxies in deep space, grey"),
}


def sample_names():
    """List the names that `load_sample` knows.

    Examples
    --------
    >>> sample_names()[:4]
    ('filaments', 'nuclei', 'membranes', 'vesicles')
    """
    return (*_GENERATED, *_FROM_SKIMAGE)


def load_sample(name):
    """Load a bundled clean image; none needs a network.

    Parameters
    ----------
    name : str
        Generated: "filaments", "nuclei", "membranes", "vesicles". From scikit-image: "cell",
        "histology", "retina", "microaneurysms", "hubble". data/manifest.json says more of each.

    Returns
    -------
    ndarray, float32, shape (y, x)
        Grey, its range stretched to [0, 1].

    Raises
    ------
    ValueError
        If there is no such sample, or its file is not the one that the manifest lists.

    Examples
    --------
    >>> image = load_sample("filaments")
    >>> image.shape, float(image.min()), float(image.max())
    ((384, 384), 0.0, 1.0)
    """
    if name in _FROM_SKIMAGE:
        return _from_skimage(name)
    if name not in _GENERATED:
        raise ValueError(f"there is no sample {name!r}; there are {', '.join(sample_names())}")
    manifest = json.loads((data_folder() / "manifest.json").read_text())
    entry = next(entry for entry in manifest if entry["name"] == name)
    path = data_folder() / entry["file"]
    check_sha256(path, entry["sha256"], "run `python -m siamdecon.files.samples` to draw it again")
    return stretched(read_image(path))


def write_samples(folder=None):
    """Draw the generated samples and list all samples in manifest.json.

    Parameters
    ----------
    folder : str or path-like, optional
        An existing folder; the package's own data/ unless given.

    Returns
    -------
    pathlib.Path
        The manifest.

    Raises
    ------
    FileNotFoundError, PermissionError
        If `folder` is missing or takes no files.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     len(json.loads(write_samples(folder).read_text()))
    9
    """
    folder = data_folder() if folder is None else Path(folder)
    manifest = []
    for name, description in _GENERATED.items():
        image = getattr(phantoms, name)(_GENERATED_SHAPE, _GENERATED_SEED)
        pixels = np.rint(255 * image).astype(np.uint8)
        path = write_atomically(
            folder / f"{name}.tif",
            lambda temporary, pixels=pixels: tifffile.imwrite(
                temporary, pixels, photometric="minisblack", compression="zlib"
            ),
        )
        manifest.append(
            {
                "name": name,
                "description": description,
                "shape": pixels.shape,
                "file": path.name,
                "sha256": sha256(path),
                "generator": f"siamdecon.files.phantoms.{name}",
                "seed": _GENERATED_SEED,
            }
        )
    for name, (function, licence, description) in _FROM_SKIMAGE.items():
        manifest.append(
            {
                "name": name,
                "description": description,
                "shape": _from_skimage(name).shape,
                "source": f"skimage.data.{function}",
                "licence": licence,
            }
        )
    text = "[\n" + ",\n".join(map(json.dumps, manifest)) + "\n]\n"
    return write_atomically(folder / "manifest.json", lambda path: path.write_text(text))


def data_folder():
    """Return data/: inside the package when installed from a wheel, beside it in a checkout.

    Examples
    --------
    >>> (data_folder() / "benchmark2d.sha256").is_file()
    True
    """
    package = Path(__file__).resolve().parents[1]
    installed = package / "data"
    return installed if installed.is_dir() else package.parent / "data"


def stretched(image):
    """Stretch the range of an image to [0, 1], as float32.

    Examples
    --------
    >>> stretched([[2, 3, 6]]).tolist()
    [[0.0, 0.25, 1.0]]
    """
    image = np.asarray(image, np.float64)
    return ((image - image.min()) / np.ptp(image)).astype(np.float32)


def _from_skimage(name):
    from skimage import color, data  # only here: a slow import

    image = getattr(data, _FROM_SKIMAGE[name][0])()
    return stretched(color.rgb2gray(image) if image.ndim == 3 else image)


if __name__ == "__main__":
    print(write_samples(*sys.argv[1:2]))
