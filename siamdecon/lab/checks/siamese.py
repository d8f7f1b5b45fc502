"""Exercises of notebooks 04 and 05: blind spots, invariance, boundaries."""

import torch

from siamdecon.lab.checks.engine import Exercise


def _hide_inputs(shape, seed):
    generator = torch.Generator().manual_seed(seed)
    x, noise = (torch.randn(shape, generator=generator) for _ in range(2))
    return x, torch.rand(shape, generator=generator) < 0.2, 0.2 * noise


def _hide(x, mask, noise):
    hidden = x.clone()
    for place in mask.nonzero().tolist():
        hidden[tuple(place)] = noise[tuple(place)]
    return hidden


#: x_{J^c}: x, with noise in place of the pixels J.
hide = Exercise(
    "the input with hidden pixels",
    _hide,
    (_hide_inputs((1, 1, 9, 7), 0), _hide_inputs((2, 1, 6, 6), 1)),
    {
        "mask and its complement are exchanged: J is where the mask is True; the noise belongs there.": (
            lambda x, mask, noise: torch.where(mask, x, noise)
        ),
        "the noise is added to the hidden pixels; it must replace them, or they are not hidden.": (
            lambda x, mask, noise: x + mask * noise
        ),
        "the hidden pixels are 0; the noise is missing.": lambda x, mask, noise: x * ~mask,
        "every pixel is replaced by noise; only those where the mask is True are hidden.": (
            lambda x, mask, noise: noise
        ),
        "noise is added to every pixel; only those where the mask is True change.": (
            lambda x, mask, noise: x + noise
        ),
        "nothing is hidden: that is x itself.": lambda x, mask, noise: x,
    },
)


def _loss_inputs(shape, seed):
    generator = torch.Generator().manual_seed(seed)
    a, b = (torch.randn(shape, generator=generator) for _ in range(2))
    return a, b, torch.rand(shape, generator=generator) < 0.2


def _mean_at(values, mask):
    chosen = [v for v, hit in zip(values.flatten().tolist(), mask.flatten(), strict=True) if hit]
    return sum(chosen) / len(chosen)


#: Eq. 2: the mean of (g(f(x_{J^c})) - x)^2 over the pixels J.
blind_spot_loss = Exercise(
    "the blind-spot loss",
    lambda reconvolved, x, mask: _mean_at((reconvolved - x) ** 2, mask),
    (_loss_inputs((1, 1, 9, 7), 2), _loss_inputs((2, 1, 6, 6), 3)),
    {
        "the mask is ignored: that is the mean over all pixels, which also rewards copying.": (
            lambda r, x, mask: ((r - x) ** 2).mean()
        ),
        "mask and its complement are exchanged: that is the mean over the visible pixels.": (
            lambda r, x, mask: ((r - x)[~mask] ** 2).mean()
        ),
        "the sum is divided by all pixels, not by those in J: the unmasked zeros count too.": (
            lambda r, x, mask: ((r - x) ** 2 * mask).mean()
        ),
        "that is the sum over J; the mean divides it by the number of pixels in J.": (
            lambda r, x, mask: ((r - x)[mask] ** 2).sum()
        ),
        "the root is not needed: the blind-spot loss is the mean square itself.": (
            lambda r, x, mask: ((r - x)[mask] ** 2).mean().sqrt()
        ),
        "that is the mean absolute difference; the loss squares it.": (
            lambda r, x, mask: (r - x)[mask].abs().mean()
        ),
        "the mean was squared; square each pixel's difference first, or the differences cancel.": (
            lambda r, x, mask: (r - x)[mask].mean() ** 2
        ),
    },
)

#: The root of the mean of (a - b)^2 over the pixels J.
invariance = Exercise(
    "the invariance term",
    lambda a, b, mask: _mean_at((a - b) ** 2, mask) ** 0.5,
    (_loss_inputs((1, 1, 9, 7), 4), _loss_inputs((2, 1, 6, 6), 5)),
    {
        "the root is missing: that is the mean square.": (
            lambda a, b, mask: ((a - b)[mask] ** 2).mean()
        ),
        "the mask is ignored: the two outputs are compared at J only.": (
            lambda a, b, mask: ((a - b) ** 2).mean().sqrt()
        ),
        "mask and its complement are exchanged: that compares the visible pixels.": (
            lambda a, b, mask: ((a - b)[~mask] ** 2).mean().sqrt()
        ),
        "the sum is divided by all pixels, not by |J|, the number of hidden ones.": (
            lambda a, b, mask: ((a - b) ** 2 * mask).mean().sqrt()
        ),
        "|J| is missing: that is the root of the sum, which grows with the number of hidden pixels.": (
            lambda a, b, mask: ((a - b)[mask] ** 2).sum().sqrt()
        ),
        "|J| is outside the root; divide first, then take the root.": (
            lambda a, b, mask: ((a - b)[mask] ** 2).sum().sqrt() / mask.sum()
        ),
        "the root is taken of each pixel, which makes a mean absolute difference; take it of the mean.": (
            lambda a, b, mask: (a - b)[mask].abs().mean()
        ),
    },
)


def _boundary_inputs(seed, low, high):
    generator = torch.Generator().manual_seed(seed)
    return 2 * torch.rand((1, 1, 8, 7), generator=generator) - 0.5, low, high


def _boundary(x, low, high):
    values = x.flatten().tolist()
    return sum(abs(low - v) + abs(v - high) for v in values) / len(values)


#: The mean of |min - x| + |x - max|.
boundary = Exercise(
    "the boundary term",
    _boundary,
    (_boundary_inputs(6, 0.0, 1.0), _boundary_inputs(7, 0.2, 0.7)),
    {
        "that is 0 inside the bounds; in Eq. 1, the two distances add up to max - min there.": (
            lambda x, low, high: ((low - x).clamp(min=0) + (x - high).clamp(min=0)).mean()
        ),
        "that is twice the distance beyond the bounds, 0 inside; Eq. 1 adds max - min to it.": (
            lambda x, low, high: 2 * ((low - x).clamp(min=0) + (x - high).clamp(min=0)).mean()
        ),
        "the absolute values are missing: without them x cancels, and min - max is left.": (
            lambda x, low, high: ((low - x) + (x - high)).mean()
        ),
        "the distances are squared; Eq. 1 takes their absolute values.": (
            lambda x, low, high: ((low - x) ** 2 + (x - high) ** 2).mean()
        ),
        "that is the sum over the pixels; the term is their mean.": (
            lambda x, low, high: ((low - x).abs() + (x - high).abs()).sum()
        ),
        "the upper bound is missing: |x - max| must be added.": (
            lambda x, low, high: (low - x).abs().mean()
        ),
        "the lower bound is missing: |min - x| must be added.": (
            lambda x, low, high: (x - high).abs().mean()
        ),
        "the absolute value is taken of the means; take it of each pixel first.": (
            lambda x, low, high: (low - x.mean()).abs() + (x.mean() - high).abs()
        ),
    },
)
