"""Exercises of notebook 10: a coarser copy, and a training pair made from it."""

import numpy as np
from scipy.signal import convolve

from siamdecon.lab.checks.engine import Exercise

_KERNEL = np.array([[0.0, 0.1, 0.0], [0.3, 0.2, 0.1], [0.25, 0.0, 0.05]])  # asymmetric on purpose


def _image(shape, seed):
    return np.random.default_rng(seed).uniform(size=shape)


def _shrunken(image, factor):
    """Loop over the coarse pixels: each is the mean of its block."""
    ny, nx = (n // factor for n in image.shape)
    out = np.zeros((ny, nx))
    for i, j in np.ndindex(ny, nx):
        out[i, j] = np.mean(image[i * factor : (i + 1) * factor, j * factor : (j + 1) * factor])
    return out


def _blocks(image, factor):
    ny, nx = (n // factor for n in image.shape)
    whole = image[: ny * factor, : nx * factor]
    return whole.reshape(ny, factor, nx, factor)


#: An image made `factor` times smaller: means of blocks; incomplete blocks at the end are dropped.
shrink = Exercise(
    "a coarser copy",
    _shrunken,
    ((_image((12, 18), 0), 3), (_image((9, 14), 1), 2), (_image((7, 7), 2), 1)),
    {
        "every factor-th pixel is taken: its noise stays, and fine detail is aliased to coarse detail.": (
            lambda image, factor: _blocks(image, factor)[:, 0, :, 0]
        ),
        "the blocks are added up; divide by the number of their pixels.": (
            lambda image, factor: _blocks(image, factor).sum(axis=(1, 3))
        ),
        "added up along both axes, divided along one: a block has factor^2 pixels.": (
            lambda image, factor: _blocks(image, factor).sum(axis=(1, 3)) / factor
        ),
        "the brightest pixel of each block is taken: noise makes that too bright.": (
            lambda image, factor: _blocks(image, factor).max(axis=(1, 3))
        ),
        "the axes are exchanged: the copy is transposed, or its blocks are.": (
            lambda image, factor: _shrunken(image.T, factor)
        ),
        "the blocks are mixed up: reshape to (ny, factor, nx, factor), then average axes 1 and 3.": (
            lambda image, factor: (
                _blocks(image, factor)
                .reshape(factor, image.shape[0] // factor, factor, -1)
                .mean(axis=(0, 2))
            )
        ),
    },
)


def _half(image):
    return _shrunken(image, 2)


def _blur(image):
    return convolve(image, _KERNEL, mode="same", method="direct")


def _noise(image):
    """Add a fixed pattern in place of noise, and clip, so that the order matters."""
    return (image + 0.2 * np.cos(7.0 * np.arange(image.size)).reshape(image.shape)).clip(0.3, 0.7)


def _pair(estimate, shrink, blur, noise):
    truth = shrink(estimate)
    return np.stack([noise(blur(truth)), truth])


#: The network's input and its target: (noise(blur(shrink(x))), shrink(x)).
training_pair = Exercise(
    "a training pair",
    _pair,
    ((_image((12, 18), 0), _half, _blur, _noise), (_image((16, 10), 1), _half, _blur, _noise)),
    {
        "the estimate is blurred before it is made smaller: then the kernel is smaller, too.": (
            lambda x, s, b, n: np.stack([n(s(b(x))), s(x)])
        ),
        "the image is degraded at full size and made smaller last: the noise is averaged away.": (
            lambda x, s, b, n: np.stack([s(n(b(x))), s(x)])
        ),
        "the noise is added before the blur; a camera comes after the optics.": (
            lambda x, s, b, n: np.stack([b(n(s(x))), s(x)])
        ),
        "the noise is missing: the network would learn to trust every pixel.": (
            lambda x, s, b, n: np.stack([b(s(x)), s(x)])
        ),
        "the blur is missing: the network would learn to denoise only.": (
            lambda x, s, b, n: np.stack([n(s(x)), s(x)])
        ),
        "truth and measurement are exchanged; the network's input is the degraded copy.": (
            lambda x, s, b, n: np.stack([s(x), n(b(s(x)))])
        ),
        "the truth is blurred, too: the network would learn to keep the blur.": (
            lambda x, s, b, n: np.stack([n(b(s(x))), b(s(x))])
        ),
        "the truth is noisy, too.": lambda x, s, b, n: np.stack([n(b(s(x))), n(s(x))]),
    },
)
