"""Inputs with a fault to be found."""

from dataclasses import replace

import numpy as np

from siamdecon.files.images import Image


def faulty_inputs(image: Image, psf: np.ndarray) -> dict[str, tuple[Image, np.ndarray]]:
    """Return an image and its kernel three times, each with another fault that `inspect` finds.

    Parameters
    ----------
    image : Image, shape (y, x)
    psf : ndarray, shape (y, x)

    Examples
    --------
    Introduced in notebook 08.

    >>> image = Image(np.arange(64.0).reshape(8, 8), "YX")
    >>> for name, (picture, kernel) in faulty_inputs(image, np.ones((3, 3)) / 9).items():
    ...     print(name, round(float(picture.data.max())), kernel.shape)
    A 63 (3, 3)
    B 54 (3, 3)
    C 63 (19, 19)
    """
    level = np.quantile(image.data, 0.85).astype(image.dtype)
    overexposed = replace(image, data=np.minimum(image.data, level))
    background = np.pad(psf, 8) + 0.02 * psf.max()  # as a camera adds it everywhere
    return {
        "A": (image, np.roll(psf, 2, axis=1)),
        "B": (overexposed, psf),
        "C": (image, background / background.sum()),
    }
