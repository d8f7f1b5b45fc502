"""Exercises of notebook 10: a coarser copy, and a training pair made from it."""

import numpy as np
from scipy.ndimage import uniform_filter
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


def _overlapping(image, factor):
    ny, nx = (n // factor for n in image.shape)
    views = np.lib.stride_tricks.sliding_window_view(image, (factor, factor))
    return views[:ny, :nx].mean(axis=(2, 3))


def _along_rows(image, factor):
    ny = image.shape[0] // factor
    return image[: ny * factor].reshape(ny, factor, -1).mean(axis=1)


def _solved_shrink(image, factor):
    ny, nx = image.shape[0] // factor, image.shape[1] // factor
    blocks = image[: ny * factor, : nx * factor].reshape(ny, factor, nx, factor)
    return blocks.mean(axis=(1, 3))


#: An image made `factor` times smaller: means of blocks; incomplete blocks at the end are dropped.
shrink = Exercise(
    "a coarser copy",
    _shrunken,
    ((_image((13, 20), 0), 3), (_image((9, 14), 1), 2), (_image((7, 7), 2), 1)),
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
        "every factor-th pixel is taken, also from blocks that are not complete.": (
            lambda image, factor: image[::factor, ::factor]
        ),
        "the darkest pixel of each block is taken; take the mean.": (
            lambda image, factor: _blocks(image, factor).min(axis=(1, 3))
        ),
        "the median of each block is taken; take the mean.": (
            lambda image, factor: np.median(_blocks(image, factor), axis=(1, 3))
        ),
        "the spread of each block is taken; take the mean.": (
            lambda image, factor: _blocks(image, factor).std(axis=(1, 3))
        ),
        "the rows are averaged, the columns only thinned out: average over both axes of a block.": (
            lambda image, factor: _blocks(image, factor).mean(axis=1)[:, :, 0]
        ),
        "the columns are averaged, the rows only thinned out: average over both axes of a block.": (
            lambda image, factor: _blocks(image, factor).mean(axis=3)[:, 0]
        ),
        "the rows are averaged, the columns are all left.": (
            lambda image, factor: _along_rows(image, factor)
        ),
        "the columns are averaged, the rows are all left.": (
            lambda image, factor: _along_rows(image.T, factor).T
        ),
        "the middle pixel of each block is taken: its noise stays, and fine detail is aliased.": (
            lambda image, factor: _blocks(image, factor)[:, factor // 2, :, factor // 2]
        ),
        "a corner is cut out; every pixel of the image belongs to a block.": lambda image, factor: (
            image[: image.shape[0] // factor, : image.shape[1] // factor]
        ),
        "the blocks overlap: the next one begins factor pixels further, not one.": _overlapping,
        "the grey values are divided; the image keeps its size.": lambda image, factor: (
            image / factor
        ),
        "every pixel is averaged with its neighbours, but all pixels are left: take one for each block.": (
            lambda image, factor: uniform_filter(image, factor)
        ),
        "the blocks are mixed up: reshape puts pixels of one row into a block; its order is "
        "(ny, factor, nx, factor).": (
            lambda image, factor: (
                _blocks(image, factor)
                .reshape(image.shape[0] // factor, image.shape[1] // factor, factor, factor)
                .mean(axis=(2, 3))
            )
        ),
        "incomplete blocks at the end are kept; leave them out.": lambda image, factor: np.array(
            [
                [
                    image[y : y + factor, x : x + factor].mean()
                    for x in range(0, image.shape[1], factor)
                ]
                for y in range(0, image.shape[0], factor)
            ]
        ),
        "incomplete blocks are left out at the beginning; leave them out at the end.": (
            lambda image, factor: _shrunken(
                image[image.shape[0] % factor :, image.shape[1] % factor :], factor
            )
        ),
        "the mean of all blocks is taken, place by place; average within each block: axes 1 and 3.": (
            lambda image, factor: _blocks(image, factor).mean(axis=(0, 2))
        ),
        "one axis of the blocks and one of the image are averaged; average axes 1 and 3.": (
            lambda image, factor: _blocks(image, factor).mean(axis=(1, 2))
        ),
        "one axis of the image and one of the blocks are averaged; average axes 1 and 3.": (
            lambda image, factor: _blocks(image, factor).mean(axis=(2, 3))
        ),
        "the blocks are still there, with four axes; average axes 1 and 3.": _blocks,
        "the blocks are mixed up: reshape to (ny, factor, nx, factor), then average axes 1 and 3.": (
            lambda image, factor: (
                _blocks(image, factor)
                .reshape(factor, image.shape[0] // factor, factor, -1)
                .mean(axis=(0, 2))
            )
        ),
    },
    solution=_solved_shrink,
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


def _solved_pair(estimate, shrink, blur, noise):
    truth = shrink(estimate)
    seen = noise(blur(truth))
    return np.stack([seen, truth])


def _in_order(names):
    """Return pairs whose input takes these steps, first to last."""

    def mistake(x, shrink, blur, noise):
        seen, steps = x, {"shrink": shrink, "blur": blur, "noise": noise}
        for name in names:
            seen = steps[name](seen)
        return np.stack([seen, shrink(x)])

    return mistake


#: Inputs that take other steps, or in another order; those that a hint of their own explains are left out.
_ORDERS = (
    ("noise", "shrink", "blur"),
    ("noise", "blur", "shrink"),
    ("blur", "shrink"),
    ("noise", "shrink"),
    ("shrink",),
    ("shrink", "blur", "blur", "noise"),
    ("shrink", "blur", "noise", "blur"),
    ("blur", "shrink", "blur", "noise"),
    ("blur", "noise", "shrink", "noise"),
)


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
        "the estimate keeps its size: its coarser copy is the truth.": (
            lambda x, s, b, n: np.stack([n(b(x)), x])
        ),
        "the noise is added twice.": lambda x, s, b, n: np.stack([n(b(n(s(x)))), s(x)]),
        "the truth is made smaller once more than the input should be: shrink it once.": (
            lambda x, s, b, n: np.stack([n(b(s(s(x)))), s(s(x))])
        ),
        "the truth is what blur and noise removed; it is the coarser copy itself.": (
            lambda x, s, b, n: np.stack([n(b(s(x))), s(x) - n(b(s(x)))])
        ),
        "the two are joined along y; stack them: np.stack makes an axis for them.": (
            lambda x, s, b, n: np.concatenate([n(b(s(x))), s(x)])
        ),
        "the two are joined along x; stack them: np.stack makes an axis for them.": (
            lambda x, s, b, n: np.concatenate([n(b(s(x))), s(x)], axis=1)
        ),
        "the two are stacked along the last axis; they belong along the first.": (
            lambda x, s, b, n: np.stack([n(b(s(x))), s(x)], axis=-1)
        ),
        "only the input is returned; return the pair, input first.": lambda x, s, b, n: n(b(s(x))),
        "each of the two lacks a step: the input is blurred and noisy, the truth neither.": (
            lambda x, s, b, n: np.stack([n(s(x)), b(s(x))])
        ),
        "the input has no noise, and the truth has: noise belongs to the input alone.": (
            lambda x, s, b, n: np.stack([b(s(x)), n(s(x))])
        ),
        "the truth is every second pixel of the estimate; make it by `shrink`.": (
            lambda x, s, b, n: np.stack([n(b(s(x))), x[::2, ::2]])
        ),
        "the two have an axis of length 1 too many.": lambda x, s, b, n: np.array(
            [[n(b(s(x)))], [s(x)]]
        ),
        **{
            f"the input takes these steps: {', '.join(order)}. What comes first in a microscope "
            "that looks at the small image?": _in_order(order)
            for order in _ORDERS
        },
        "the truth is noisy, too.": lambda x, s, b, n: np.stack([n(b(s(x))), n(s(x))]),
    },
    solution=_solved_pair,
)
