"""Plausible wrong answers to the exercises of notebooks 04 and 05, and what each must be told."""

import numpy as np
import torch

TRUE = {"A": True, "B": False, "C": True, "D": False, "E": False}


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


def noise_scaled_again(x, mask, noise):
    return x * ~mask + 0.2 * noise * mask


def only_the_masked(x, mask, noise):
    return noise * mask


def multiplied(x, mask, noise):
    hidden = x.clone()
    hidden[mask] *= noise[mask]
    return hidden


def not_hidden(x, mask, noise):
    hidden = x.clone()
    hidden[mask].copy_(noise[mask])  # changes a copy
    return hidden


def the_mean(x, mask, noise):
    return torch.where(mask, x.mean(), x)


def a_comma(x, mask, noise):
    return (torch.where(mask, noise, x),)


def hidden_pixels_alone(x, mask, noise):
    return noise[mask]


def written_into_the_input(x, mask, noise):
    x[mask] = noise[mask]
    return x


def by_numpy(x, mask, noise):
    return np.where(mask, noise, x)


def noise_hides():
    return TRUE | {"B": True}


def neighbours_tell():
    return TRUE | {"C": False}


def shortcut_is_small():
    return TRUE | {"D": True}


def always_blind():
    return TRUE | {"E": True}


def g_opens_it():
    return TRUE | {"A": False}


def half_chosen():
    return TRUE | {"D": ..., "E": ...}


def a_list():
    return [True, False, True, False, False]


def whole_image(f, g, x, x_hidden, mask):
    return torch.nn.functional.mse_loss(g(f(x_hidden)), x)


def visible_pixels(f, g, x, x_hidden, mask):
    return (g(f(x_hidden))[~mask] - x[~mask]).square().mean()


def divided_by_all(f, g, x, x_hidden, mask):
    difference = g(f(x_hidden)) * mask - x * mask
    return (difference**2).mean()


def half_masked(f, g, x, x_hidden, mask):
    difference = g(f(x_hidden)) * mask - x
    return (difference**2).mean()


def summed(f, g, x, x_hidden, mask):
    return (g(f(x_hidden))[mask] - x[mask]).square().sum()


def with_a_root(f, g, x, x_hidden, mask):
    return torch.sqrt(torch.mean((g(f(x_hidden))[mask] - x[mask]) ** 2))


def absolute(f, g, x, x_hidden, mask):
    return torch.nn.functional.l1_loss(g(f(x_hidden))[mask], x[mask])


def a_value_a_pixel(f, g, x, x_hidden, mask):
    return (g(f(x_hidden))[mask] - x[mask]) ** 2


def nothing_hidden(f, g, x, x_hidden, mask):
    difference = g(f(x)) - x
    return (difference[mask] ** 2).mean()


def against_the_noise(f, g, x, x_hidden, mask):
    difference = g(f(x_hidden)) - x_hidden
    return (difference[mask] ** 2).mean()


def no_blur(f, g, x, x_hidden, mask):
    return ((f(x_hidden) - x)[mask] ** 2).mean()


def blurred_input(f, g, x, x_hidden, mask):
    return ((f(g(x_hidden)) - x)[mask] ** 2).mean()


def blurred_twice(f, g, x, x_hidden, mask):
    return ((g(f(x_hidden)) - g(x))[mask] ** 2).mean()


def no_network(f, g, x, x_hidden, mask):
    return ((g(x_hidden) - x)[mask] ** 2).mean()


def a_number(f, g, x, x_hidden, mask):
    return ((g(f(x_hidden)) - x)[mask] ** 2).mean().item()


def detached(f, g, x, x_hidden, mask):
    return ((g(f(x_hidden)).detach() - x)[mask] ** 2).mean()


def no_parentheses(f, g, x, x_hidden, mask):
    return torch.mean(g(f(x_hidden))[mask] - x[mask] ** 2)


def square_of_the_mean(f, g, x, x_hidden, mask):
    return (g(f(x_hidden)) - x)[mask].mean() ** 2


def no_square(f, g, x, x_hidden, mask):
    return (g(f(x_hidden)) - x)[mask].mean()


def plus(f, g, x, x_hidden, mask):
    return ((g(f(x_hidden)) + x)[mask] ** 2).mean()


def half(f, g, x, x_hidden, mask):
    return 0.5 * ((g(f(x_hidden)) - x)[mask] ** 2).mean()


def two_passes(f, g, x, x_hidden, mask):
    return ((g(f(x)) - g(f(x_hidden)))[mask] ** 2).mean()


def twice(f, g, x, x_hidden, mask):
    return 2 * ((g(f(x_hidden)) - x)[mask] ** 2).mean()


def product_for_power(f, g, x, x_hidden, mask):
    return ((g(f(x_hidden)) - x)[mask] * 2).mean()


def median(f, g, x, x_hidden, mask):
    return ((g(f(x_hidden)) - x)[mask] ** 2).median()


def half_filled(f, g, x, x_hidden, mask):
    difference = ...
    return (difference[mask] ** 2).mean()


def _adam(f, rate):
    return torch.optim.Adam(f.parameters(), lr=rate)


def trained(f, g, loss, batches, rate):
    """Train as is right."""
    optimizer, history = _adam(f, rate), []
    for batch in batches:
        value = loss(f, g, *batch)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        history.append(value.item())
    return history


def never_emptied(f, g, loss, batches, rate):
    optimizer, history = _adam(f, rate), []
    for x, x_hidden, mask in batches:
        value = loss(f, g, x, x_hidden, mask)
        value.backward()
        optimizer.step()
        history.append(value.item())
    return history


def emptied_in_between(f, g, loss, batches, rate):
    optimizer, history = _adam(f, rate), []
    for x, x_hidden, mask in batches:
        value = loss(f, g, x, x_hidden, mask)
        value.backward()
        optimizer.zero_grad()
        optimizer.step()
        history.append(value.item())
    return history


def no_step(f, g, loss, batches, rate):
    optimizer, history = _adam(f, rate), []
    for x, x_hidden, mask in batches:
        value = loss(f, g, x, x_hidden, mask)
        optimizer.zero_grad()
        value.backward()
        history.append(value.item())
    return history


def no_backward(f, g, loss, batches, rate):
    optimizer, history = _adam(f, rate), []
    for x, x_hidden, mask in batches:
        value = loss(f, g, x, x_hidden, mask)
        optimizer.zero_grad()
        optimizer.step()
        history.append(value.item())
    return history


def step_first(f, g, loss, batches, rate):
    optimizer, history = _adam(f, rate), []
    for x, x_hidden, mask in batches:
        optimizer.step()
        optimizer.zero_grad()
        value = loss(f, g, x, x_hidden, mask)
        value.backward()
        history.append(value.item())
    return history


def one_behind(f, g, loss, batches, rate):
    optimizer, history = _adam(f, rate), []
    for x, x_hidden, mask in batches:
        value = loss(f, g, x, x_hidden, mask)
        optimizer.step()
        optimizer.zero_grad()
        value.backward()
        history.append(value.item())
    return history


def forgetful(f, g, loss, batches, rate):
    history = []
    for x, x_hidden, mask in batches:
        optimizer = _adam(f, rate)
        value = loss(f, g, x, x_hidden, mask)
        value.backward()
        optimizer.step()
        f.zero_grad()
        history.append(value.item())
    return history


def seen_twice(f, g, loss, batches, rate):
    optimizer, history = _adam(f, rate), []
    for x, _, mask in batches:
        value = loss(f, g, x, x, mask)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        history.append(value.item())
    return history


def exchanged(f, g, loss, batches, rate):
    optimizer, history = _adam(f, rate), []
    for x, x_hidden, mask in batches:
        value = loss(f, g, x_hidden, x, mask)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        history.append(value.item())
    return history


def uphill(f, g, loss, batches, rate):
    optimizer, history = _adam(f, rate), []
    for batch in batches:
        value = loss(f, g, *batch)
        optimizer.zero_grad()
        (-value).backward()
        optimizer.step()
        history.append(value.item())
    return history


def own_loss(f, g, loss, batches, rate):
    optimizer, history = _adam(f, rate), []
    for x, x_hidden, mask in batches:
        value = ((g(f(x_hidden)) - x)[mask] ** 2).mean()
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        history.append(value.item())
    return history


def not_called(f, g, loss, batches, rate):
    optimizer, history = _adam(f, rate), []
    for batch in batches:
        value = loss(f, g, *batch)
        optimizer.zero_grad  # noqa: B018
        value.backward()
        optimizer.step()
        history.append(value.item())
    return history


def tensors_kept(f, g, loss, batches, rate):
    optimizer, history = _adam(f, rate), []
    for batch in batches:
        value = loss(f, g, *batch)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        history.append(value)
    return history


def returned_too_soon(f, g, loss, batches, rate):
    return trained(f, g, loss, batches[:1], rate)


def in_lists(f, g, loss, batches, rate):
    return [[value] for value in trained(f, g, loss, batches, rate)]


def last_of_an_array(f, g, loss, batches, rate):
    return np.array(trained(f, g, loss, batches, rate)[-1:])


def last_loss(f, g, loss, batches, rate):
    optimizer = _adam(f, rate)
    for batch in batches:
        value = loss(f, g, *batch)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
    return value.item()


def one_loss_for_all(f, g, loss, batches, rate):
    optimizer, history = _adam(f, rate), []
    value = loss(f, g, *batches[0])
    for _ in batches:
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        history.append(value.item())
    return history


def _rec(f, g, x):
    return ((g(f(x)) - x) ** 2).mean()


def no_root(f, g, x, x_hidden, mask, lambda_inv):
    inv = torch.nn.functional.mse_loss(g(f(x))[mask], g(f(x_hidden))[mask])
    return _rec(f, g, x) + lambda_inv * inv


def root_over_all_pixels(f, g, x, x_hidden, mask, lambda_inv):
    inv = torch.nn.functional.mse_loss(g(f(x)), g(f(x_hidden))) ** 0.5
    return _rec(f, g, x) + lambda_inv * inv


def root_over_the_visible(f, g, x, x_hidden, mask, lambda_inv):
    inv = ((g(f(x)) - g(f(x_hidden)))[~mask] ** 2).mean() ** 0.5
    return _rec(f, g, x) + lambda_inv * inv


def masked_then_averaged(f, g, x, x_hidden, mask, lambda_inv):
    inv = torch.sqrt((((g(f(x)) - g(f(x_hidden))) * mask) ** 2).mean())
    return _rec(f, g, x) + lambda_inv * inv


def norm(f, g, x, x_hidden, mask, lambda_inv):
    inv = torch.linalg.vector_norm((g(f(x)) - g(f(x_hidden)))[mask])
    return _rec(f, g, x) + lambda_inv * inv


def norm_over_count(f, g, x, x_hidden, mask, lambda_inv):
    inv = torch.linalg.vector_norm((g(f(x)) - g(f(x_hidden)))[mask]) / mask.sum()
    return _rec(f, g, x) + lambda_inv * inv


def root_of_each(f, g, x, x_hidden, mask, lambda_inv):
    inv = ((g(f(x)) - g(f(x_hidden)))[mask] ** 2).sqrt().mean()
    return _rec(f, g, x) + lambda_inv * inv


def map_of_differences(f, g, x, x_hidden, mask, lambda_inv):
    return _rec(f, g, x) + lambda_inv * (g(f(x)) - g(f(x_hidden))).abs() * mask


def before_the_psf(f, g, x, x_hidden, mask, lambda_inv):
    inv = ((f(x) - f(x_hidden))[mask] ** 2).mean().sqrt()
    return _rec(f, g, x) + lambda_inv * inv


def masked_against_measured(f, g, x, x_hidden, mask, lambda_inv):
    inv = ((g(f(x_hidden)) - x)[mask] ** 2).mean().sqrt()
    return _rec(f, g, x) + lambda_inv * inv


def unmasked_against_measured(f, g, x, x_hidden, mask, lambda_inv):
    inv = ((g(f(x)) - x)[mask] ** 2).mean().sqrt()
    return _rec(f, g, x) + lambda_inv * inv


def _inv(f, g, x, x_hidden, mask):
    return ((g(f(x)) - g(f(x_hidden)))[mask] ** 2).mean().sqrt()


def reconstructed_at_j(f, g, x, x_hidden, mask, lambda_inv):
    rec = ((g(f(x)) - x)[mask] ** 2).mean()
    return rec + lambda_inv * _inv(f, g, x, x_hidden, mask)


def reconstructed_from_the_masked(f, g, x, x_hidden, mask, lambda_inv):
    rec = ((g(f(x_hidden)) - x) ** 2).mean()
    return rec + lambda_inv * _inv(f, g, x, x_hidden, mask)


def blind_spot_kept(f, g, x, x_hidden, mask, lambda_inv):
    rec = ((g(f(x_hidden)) - x)[mask] ** 2).mean()
    return rec + lambda_inv * _inv(f, g, x, x_hidden, mask)


def rec_not_blurred(f, g, x, x_hidden, mask, lambda_inv):
    return ((f(x) - x) ** 2).mean() + lambda_inv * _inv(f, g, x, x_hidden, mask)


def rec_with_a_root(f, g, x, x_hidden, mask, lambda_inv):
    return _rec(f, g, x).sqrt() + lambda_inv * _inv(f, g, x, x_hidden, mask)


def rec_summed(f, g, x, x_hidden, mask, lambda_inv):
    rec = ((g(f(x)) - x) ** 2).sum()
    return rec + lambda_inv * _inv(f, g, x, x_hidden, mask)


def invariance_alone(f, g, x, x_hidden, mask, lambda_inv):
    return lambda_inv * _inv(f, g, x, x_hidden, mask)


def reconstruction_alone(f, g, x, x_hidden, mask, lambda_inv):
    return _rec(f, g, x)


def unweighted(f, g, x, x_hidden, mask, lambda_inv):
    return _rec(f, g, x) + _inv(f, g, x, x_hidden, mask)


def always_two(f, g, x, x_hidden, mask, lambda_inv):
    return _rec(f, g, x) + 2 * _inv(f, g, x, x_hidden, mask)


def lambda_in_the_root(f, g, x, x_hidden, mask, lambda_inv):
    inv = (lambda_inv * ((g(f(x)) - g(f(x_hidden)))[mask] ** 2).mean()).sqrt()
    return _rec(f, g, x) + inv


def root_of_the_sum(f, g, x, x_hidden, mask, lambda_inv):
    inv = ((g(f(x)) - g(f(x_hidden)))[mask] ** 2).mean()
    return (_rec(f, g, x) + lambda_inv * inv) ** 0.5


def squared_mean(f, g, x, x_hidden, mask, lambda_inv):
    return (g(f(x)) - x).mean() ** 2 + lambda_inv * _inv(f, g, x, x_hidden, mask)


def lambda_for_both(f, g, x, x_hidden, mask, lambda_inv):
    return lambda_inv * (_rec(f, g, x) + _inv(f, g, x, x_hidden, mask))


def deviation(f, g, x, x_hidden, mask, lambda_inv):
    return _rec(f, g, x) + lambda_inv * (g(f(x)) - g(f(x_hidden)))[mask].std()


def subtracted(f, g, x, x_hidden, mask, lambda_inv):
    return _rec(f, g, x) - lambda_inv * _inv(f, g, x, x_hidden, mask)


def not_added(f, g, x, x_hidden, mask, lambda_inv):
    return _rec(f, g, x), lambda_inv * _inv(f, g, x, x_hidden, mask)


def terms_as_numbers(f, g, x, x_hidden, mask, lambda_inv):
    return _rec(f, g, x).item() + lambda_inv * _inv(f, g, x, x_hidden, mask).item()


def smallest_rec(rec, inv, sigma):
    return np.argmin(rec)


def smallest_inv(rec, inv, sigma):
    return int(inv.argmin())


def largest_bound(rec, inv, sigma):
    return np.argmax(rec - sigma**2 + 2 * sigma * inv)


def as_large_as_the_noise(rec, inv, sigma):
    return np.argmin(np.abs(np.sqrt(rec) - sigma))


def noise_taken_off(rec, inv, sigma):
    return np.argmin(np.abs(rec - sigma**2) + 2 * sigma * inv)


def plain_sum(rec, inv, sigma):
    return np.argmin(rec + inv)


def without_the_two(rec, inv, sigma):
    return np.argmin(rec - sigma**2 + sigma * inv)


def the_bound(rec, inv, sigma):
    return np.min(rec - sigma**2 + 2 * sigma * inv)


def all_bounds(rec, inv, sigma):
    return rec - sigma**2 + 2 * sigma * inv


def noise_at_visible_too(x, mask, noise):
    return x * (~mask) + noise


def as_a_norm(f, g, x, x_hidden, mask):
    return torch.norm((g(f(x_hidden)) - x)[mask])


def stepped_once(f, g, loss, batches, rate):
    optimizer, history = torch.optim.Adam(f.parameters(), lr=rate), []
    for x, x_hidden, mask in batches:
        value = loss(f, g, x, x_hidden, mask)
        optimizer.zero_grad()
        value.backward()
        history.append(value.item())
    optimizer.step()
    return history


def blurred_inputs(f, g, x, x_hidden, mask, lambda_inv):
    unmasked, masked = f(g(x)), f(g(x_hidden))
    inv = ((unmasked - masked)[mask] ** 2).mean().sqrt()
    return ((unmasked - x) ** 2).mean() + lambda_inv * inv


def twice_the_invariance(rec, inv, sigma):
    return np.argmin(rec + 2 * inv)


BANK = {
    "hide": [
        (noise_at_visible_too, "to the visible pixels, too"),
        (noise_for_the_rest, "noise belongs there"),
        (noise_on_top, "must replace them"),
        (zeros, "the noise is missing"),
        (noise_everywhere, "added to every pixel"),
        (only_the_noise, "every pixel is replaced"),
        (noise_scaled_again, "0.2 once more"),
        (only_the_masked, "visible pixels are 0"),
        (multiplied, "product of the hidden"),
        (not_hidden, "nothing is hidden"),
        (the_mean, "image's mean"),
        (a_comma, "a comma too many"),
        (hidden_pixels_alone, "Wrong shape"),
        (written_into_the_input, "in place"),
        (by_numpy, "Expected a tensor"),
    ],
    "j_invariant": [
        (g_opens_it, "g sees only"),
        (noise_hides, "does not hide it"),
        (neighbours_tell, "that one is not hidden"),
        (shortcut_is_small, "past f"),
        (always_blind, "nothing is hidden from f"),
        (half_chosen, "for D, E"),
        (a_list, "Expected a dictionary"),
    ],
    "blind_spot_loss": [
        (as_a_norm, "that is the norm"),
        (whole_image, "mask is ignored"),
        (visible_pixels, "visible pixels"),
        (divided_by_all, "divided by all pixels"),
        (half_masked, "not to their difference"),
        (summed, "sum over J"),
        (with_a_root, "root is not needed"),
        (absolute, "mean absolute difference"),
        (a_value_a_pixel, "Wrong shape"),
        (nothing_hidden, "x_hidden is its input"),
        (against_the_noise, "compare with x, the measurement"),
        (no_blur, "g is missing"),
        (blurred_input, "g comes after f"),
        (blurred_twice, "blurred already"),
        (no_network, "f is not used"),
        (a_number, ".item(), float()"),
        (detached, ".detach(), .data"),
        (no_parentheses, "parentheses are missing"),
        (square_of_the_mean, "mean was squared"),
        (no_square, "nothing is squared"),
        (plus, "+ where - belongs"),
        (two_passes, "compares the two passes"),
        (twice, "2 times the right one"),
        (product_for_power, "* where ** belongs"),
        (median, "`median` stands where"),
        (half_filled, "still to be written"),
        (half, "0.5 times the right one"),
    ],
    "fit": [
        (stepped_once, "once, after the loop"),
        (never_emptied, "zero_grad() is missing"),
        (emptied_in_between, "would empty the gradients again"),
        (no_step, "step() changes the weights"),
        (no_backward, "backward() fills the gradients"),
        (step_first, "last batch is missing"),
        (one_behind, "former batch's gradients"),
        (forgetful, "made anew in each step"),
        (seen_twice, "given to the loss twice"),
        (exchanged, "are exchanged"),
        (uphill, "the loss grows"),
        (own_loss, "loss of its own"),
        (not_called, "all former steps"),
        (tensors_kept, "history holds tensors"),
        (returned_too_soon, "1 losses after"),
        (last_loss, "Expected the list"),
        (last_of_an_array, "1 losses after 4 batches; expected one"),
        (in_lists, "history holds lists"),
        (one_loss_for_all, "second time"),
    ],
    "two_pass_loss": [
        (blurred_inputs, "not the network's input"),
        (no_root, "root is missing"),
        (root_over_all_pixels, "ignores the mask"),
        (root_over_the_visible, "visible pixels"),
        (masked_then_averaged, "not by |J|"),
        (norm, "lacks |J|"),
        (norm_over_count, "outside the root"),
        (root_of_each, "mean absolute difference"),
        (map_of_differences, "Wrong shape"),
        (before_the_psf, "before the blur"),
        (masked_against_measured, "compares an output"),
        (unmasked_against_measured, "compares one output"),
        (reconstructed_at_j, "not over J alone"),
        (reconstructed_from_the_masked, "not the masked one"),
        (blind_spot_kept, "is the blind-spot loss"),
        (rec_not_blurred, "g is missing in the reconstruction"),
        (rec_with_a_root, "without a root"),
        (rec_summed, "not a sum"),
        (invariance_alone, "reconstruction is missing"),
        (reconstruction_alone, "invariance is missing"),
        (unweighted, "`lambda_inv` is missing"),
        (always_two, "a fixed 2"),
        (lambda_in_the_root, "inside the root"),
        (root_of_the_sum, "not to the sum of both"),
        (squared_mean, "square each pixel's"),
        (lambda_for_both, "multiplies both"),
        (deviation, "standard deviation"),
        (subtracted, "- where + belongs"),
        (not_added, "or a + missing"),
        (terms_as_numbers, "Expected a tensor, got float"),
    ],
    "choose_run": [
        (smallest_rec, "copied the most noise"),
        (smallest_inv, "the passes agree"),
        (largest_bound, "largest bound"),
        (as_large_as_the_noise, "nearest to sigma^2"),
        (noise_taken_off, "no absolute value"),
        (plain_sum, "counts for too much"),
        (without_the_two, "factor 2"),
        (the_bound, "bound itself"),
        (all_bounds, "Wrong shape"),
    ],
}
