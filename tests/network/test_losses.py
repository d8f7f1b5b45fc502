"""Each term of Eq. 1 against a transcription in NumPy, and its gradient against finite differences."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from siamdecon import LossWeights
from siamdecon.network.losses import Outputs, composition_loss

TERMS = ("bsp", "rec", "inv", "inv_d", "bound", "bound_d")
MEAN, STD = 0.3, 0.2


def transcription(x, mask, f, g, f_masked, g_masked):
    """Eq. 1 in NumPy: J is where the mask is True, m the number of pixels."""
    J, m = mask.astype(bool), x.size

    def destandardised(a):
        return a * STD + MEAN

    return {
        "bsp": np.sum((g_masked[J] - x[J]) ** 2) / J.sum(),
        "rec": np.sum((g - x) ** 2) / m,
        "inv": (np.sum((g[J] - g_masked[J]) ** 2) / J.sum()) ** (1 / 2),
        "inv_d": (np.sum((f[J] - f_masked[J]) ** 2) / J.sum()) ** (1 / 2),
        "bound": np.mean(np.abs(0 - destandardised(g)) + np.abs(destandardised(g) - 1)),
        "bound_d": np.mean(np.abs(0 - destandardised(f)) + np.abs(destandardised(f) - 1)),
    }


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    x, f, g, f_masked, g_masked = rng.normal(scale=3, size=(5, 2, 1, 9, 7))
    return x, rng.uniform(size=x.shape) < 0.2, f, g, f_masked, g_masked


def composed(weights, x, mask, f, g, f_masked, g_masked):
    t = [torch.as_tensor(a) for a in (x, mask, f, g, f_masked, g_masked)]
    return composition_loss(
        weights, t[0], t[1], Outputs(t[2], t[3]), Outputs(t[4], t[5]), MEAN, STD
    )


@pytest.mark.parametrize("term", TERMS)
def test_each_term_is_equation_1(arrays, term):
    losses = composed(LossWeights(**{f"lambda_{term}": 3.0}), *arrays)
    expected = transcription(*arrays)[term]
    assert list(losses) == ["total", term]
    assert losses[term].item() == pytest.approx(expected, rel=1e-9)
    assert losses["total"].item() == pytest.approx(3 * expected, rel=1e-9)


@given(st.lists(st.floats(0, 10), min_size=6, max_size=6).filter(any))
def test_the_total_is_the_weighted_sum(lambdas):
    rng = np.random.default_rng(1)
    x, f, g, f_masked, g_masked = rng.normal(size=(5, 1, 1, 6, 6))
    mask = np.zeros(x.shape, bool)
    mask[..., 2, 3] = mask[..., 5, 0] = True
    arrays = x, mask, f, g, f_masked, g_masked
    weights = LossWeights(**{f"lambda_{t}": w for t, w in zip(TERMS, lambdas, strict=True)})
    expected = sum(w * transcription(*arrays)[t] for t, w in zip(TERMS, lambdas, strict=True))
    assert composed(weights, *arrays)["total"].item() == pytest.approx(expected, rel=1e-6)


def test_gradients_agree_with_finite_differences(arrays):
    x, mask, *outputs = (torch.as_tensor(a) for a in arrays)
    leaves = [o.clone().requires_grad_() for o in outputs]
    weights = LossWeights(*[1.0] * 6)

    def total(f, g, f_masked, g_masked):
        masked = Outputs(f_masked, g_masked)
        return composition_loss(weights, x, mask, Outputs(f, g), masked, MEAN, STD)["total"]

    assert torch.autograd.gradcheck(total, leaves)


def test_equal_outputs_give_finite_gradients():
    """The root's slope at 0 is infinite; a network that ignores the mask must not get NaN from it."""
    f = torch.zeros(1, 1, 4, 4, requires_grad=True)
    mask = torch.ones(1, 1, 4, 4, dtype=torch.bool)
    both = Outputs(f, f), Outputs(f * 1, f * 1)
    losses = composition_loss(LossWeights(lambda_inv_d=2), f.detach(), mask, *both)
    losses["total"].backward()
    assert torch.isfinite(f.grad).all()


def test_presets_are_equations_2_to_4():
    assert LossWeights.noise2self() == LossWeights(lambda_bsp=1)
    assert LossWeights.noise2same() == LossWeights(lambda_rec=1, lambda_inv=2, lambda_bound=0.1)
    assert LossWeights.noise2same_d() == LossWeights(
        lambda_rec=1, lambda_inv_d=2, lambda_bound_d=0.1
    )
    assert LossWeights.noise2same_d(lambda_bound_d=0).lambda_inv_d == 2


@pytest.mark.parametrize(
    ("weights", "masked", "unmasked"),
    [
        (LossWeights.noise2self(), True, False),
        (LossWeights.noise2self(lambda_bound=0.1), True, False),
        (LossWeights(lambda_rec=1), False, True),
        (LossWeights.noise2same(), True, True),
        (LossWeights.noise2same_d(), True, True),
        (LossWeights(lambda_bound=1), False, True),
    ],
)
def test_only_the_passes_that_a_weighting_needs_are_asked_for(weights, masked, unmasked):
    assert (weights.needs_masked, weights.needs_unmasked) == (masked, unmasked)


@pytest.mark.parametrize("value", [-1, float("nan"), float("inf")])
def test_a_weight_out_of_range_is_named(value):
    with pytest.raises(ValueError, match="lambda_inv_d: expected a finite weight of 0 or more"):
        LossWeights(lambda_inv_d=value)


def test_no_weight_at_all_is_an_error():
    with pytest.raises(ValueError, match="at least one weight above 0"):
        LossWeights()
