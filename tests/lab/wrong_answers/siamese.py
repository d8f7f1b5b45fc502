"""Plausible wrong answers to the exercises of notebooks 04 and 05, and what each must be told."""

import torch


def noise_for_the_rest(x, mask, noise):
    return torch.where(mask, x, noise)


def noise_on_top(x, mask, noise):
    hidden = x.clone()
    hidden[mask] += noise[mask]
    return hidden


def zeros(x, mask, noise):
    return x.masked_fill(mask, 0)


def noise_everywhere(x, mask, noise):
    return x + noise


def only_the_noise(x, mask, noise):
    hidden = noise.clone()
    return hidden


def hidden_pixels_alone(x, mask, noise):
    return noise[mask]


def written_into_the_input(x, mask, noise):
    x[mask] = noise[mask]
    return x


def whole_image(reconvolved, x, mask):
    return torch.nn.functional.mse_loss(reconvolved, x)


def visible_pixels(reconvolved, x, mask):
    return (reconvolved[~mask] - x[~mask]).square().mean()


def divided_by_all(reconvolved, x, mask):
    difference = reconvolved * mask - x * mask
    return (difference**2).mean()


def summed(reconvolved, x, mask):
    return (reconvolved[mask] - x[mask]).square().sum()


def with_a_root(reconvolved, x, mask):
    return torch.sqrt(torch.mean((reconvolved[mask] - x[mask]) ** 2))


def absolute(reconvolved, x, mask):
    return torch.nn.functional.l1_loss(reconvolved[mask], x[mask])


def a_value_a_pixel(reconvolved, x, mask):
    return (reconvolved[mask] - x[mask]) ** 2


def no_root(a, b, mask):
    return torch.nn.functional.mse_loss(a[mask], b[mask])


def root_over_all_pixels(a, b, mask):
    return torch.nn.functional.mse_loss(a, b) ** 0.5


def root_over_the_visible(a, b, mask):
    return torch.nn.functional.mse_loss(a[~mask], b[~mask]) ** 0.5


def masked_then_averaged(a, b, mask):
    return torch.sqrt((((a - b) * mask) ** 2).mean())


def norm(a, b, mask):
    return torch.linalg.vector_norm(a[mask] - b[mask])


def norm_over_count(a, b, mask):
    return torch.linalg.vector_norm(a[mask] - b[mask]) / mask.sum()


def root_of_each(a, b, mask):
    return ((a - b)[mask] ** 2).sqrt().mean()


def map_of_differences(a, b, mask):
    return ((a - b) ** 2 * mask).sqrt()


def hinge(x, low, high):
    return (torch.relu(low - x) + torch.relu(x - high)).mean()


def hinge_with_slope_two(x, low, high):
    return (2 * torch.relu(low - x) + 2 * torch.relu(x - high)).mean()


def without_absolute_values(x, low, high):
    return torch.mean(low - x + x - high)


def squared_distances(x, low, high):
    return ((x - low).square() + (x - high).square()).mean()


def sum_over_pixels(x, low, high):
    return torch.sum(torch.abs(low - x) + torch.abs(x - high))


def lower_bound_alone(x, low, high):
    return torch.abs(x - low).mean()


def a_map(x, low, high):
    return torch.abs(low - x) + torch.abs(x - high)


BANK = {
    "hide": [
        (noise_for_the_rest, "noise belongs there"),
        (noise_on_top, "must replace them"),
        (zeros, "the noise is missing"),
        (noise_everywhere, "added to every pixel"),
        (only_the_noise, "every pixel is replaced"),
        (hidden_pixels_alone, "Wrong shape"),
        (written_into_the_input, "in place"),
    ],
    "blind_spot_loss": [
        (whole_image, "mask is ignored"),
        (visible_pixels, "visible pixels"),
        (divided_by_all, "divided by all pixels"),
        (summed, "sum over J"),
        (with_a_root, "root is not needed"),
        (absolute, "mean absolute difference"),
        (a_value_a_pixel, "Wrong shape"),
    ],
    "invariance": [
        (no_root, "root is missing"),
        (root_over_all_pixels, "mask is ignored"),
        (root_over_the_visible, "visible pixels"),
        (masked_then_averaged, "not by |J|"),
        (norm, "|J| is missing"),
        (norm_over_count, "outside the root"),
        (root_of_each, "mean absolute difference"),
        (map_of_differences, "Wrong shape"),
    ],
    "boundary": [
        (hinge, "that is 0 inside the bounds"),
        (hinge_with_slope_two, "twice the distance"),
        (without_absolute_values, "x cancels"),
        (squared_distances, "squared"),
        (sum_over_pixels, "sum over the pixels"),
        (lower_bound_alone, "upper bound is missing"),
        (a_map, "Wrong shape"),
    ],
}
