"""What a result carries so that it can be made again: inputs, settings, versions."""

import hashlib
import json
import platform
from pathlib import Path

import numpy as np
import scipy
import skimage
import torch

from siamdecon._version import __version__
from siamdecon.files.atomic import write_atomically
from siamdecon.files.images import Image


def describe_inputs(source: Image, psf: np.ndarray, sha256: str | None = None) -> dict:
    """Describe image and kernel by shape and checksum, so that a result can be matched to them.

    Parameters
    ----------
    source : Image
    psf : ndarray
    sha256 : str, optional
        Of the image's pixels, where it is known already.

    Examples
    --------
    >>> record = describe_inputs(Image(np.zeros((4, 6), np.uint8), "YX"), np.ones((3, 3)) / 9)
    >>> record["image"]["shape"], record["image"]["dtype"], record["psf"]["shape"]
    ([4, 6], 'uint8', [3, 3])
    """
    if sha256 is None:
        sha256 = hashlib.sha256(np.ascontiguousarray(source.data, source.dtype)).hexdigest()
    return {
        "image": {
            "path": str(source.path) if source.path else None,
            "sha256_of_pixels": sha256,
            "shape": list(source.shape),
            "dtype": str(source.dtype),
        },
        "psf": {
            "sha256_of_values": hashlib.sha256(psf.astype("<f8").tobytes()).hexdigest(),
            "shape": list(psf.shape),
        },
    }


def describe_versions() -> dict[str, str]:
    """Return the versions of everything that a number may depend on.

    Examples
    --------
    >>> sorted(describe_versions())
    ['numpy', 'python', 'scipy', 'siamdecon', 'skimage', 'torch']
    """
    modules = (torch, np, scipy, skimage)
    return {
        "python": platform.python_version(),
        "siamdecon": __version__,
        **{module.__name__: str(module.__version__) for module in modules},
    }


def write_settings(path: Path, settings: dict) -> None:
    """Write the settings of a result as JSON."""
    text = json.dumps(settings, indent=1, default=str) + "\n"
    write_atomically(path, lambda part: part.write_text(text))


def plain(settings: dict) -> dict:
    """Keep what JSON can hold; a function or an array leaves its description.

    Examples
    --------
    >>> plain({"iterations": 5, "start": np.zeros(2)})
    {'iterations': 5, 'start': 'array([0., 0.])'}
    """
    simple = (str, int, float, bool, type(None), dict, list, tuple)
    return {k: v if isinstance(v, simple) else repr(v)[:200] for k, v in settings.items()}
