import numpy as np
import pytest
import torch
from torch import nn

from siamdecon.network.muon import Muon, orthogonal

EPS = float(np.finfo(np.float32).eps)


def matrix_of(singular_values, rows, columns, seed=0):
    """Return a matrix with these singular values, and its singular vectors, from NumPy's QR."""
    rng, n = np.random.default_rng(seed), len(singular_values)
    u, v = (np.linalg.qr(rng.normal(size=(side, n)))[0] for side in (rows, columns))
    return (u * singular_values) @ v.T, u, v


@pytest.mark.parametrize(("rows", "columns"), [(6, 6), (6, 40), (40, 6)])
def test_singular_values_become_one_and_their_vectors_stay(rows, columns):
    values = np.array([1, 0.5, 0.2, 0.1, 0.03, 0.01])
    matrix, u, v = matrix_of(values, rows, columns)
    result = orthogonal(torch.from_numpy(matrix)[None])[0].numpy()  # in float64
    inside = u.T @ result @ v
    assert 0.68 < np.diag(inside).min() and np.diag(inside).max() < 1.21
    # five steps of two products each, whose rounding the polynomial's slope, 3.4445 a step, enlarges
    bound = 10 * np.finfo(np.float64).eps * max(rows, columns) * 3.4445**5
    assert np.abs(inside - np.diag(np.diag(inside))).max() < bound


def test_matrices_of_one_shape_do_not_touch_each_other():
    both = torch.from_numpy(np.random.default_rng(0).normal(size=(2, 5, 9)))
    # a batched product may sum in another order than a single one: float64, and the bound of above
    alone = torch.cat([orthogonal(one[None]) for one in both])
    torch.testing.assert_close(orthogonal(both), alone, rtol=0, atol=1e-11)


@pytest.mark.parametrize(
    ("shape", "rows", "columns"), [((4, 2, 3, 3), 4, 18), ((32, 1, 2, 2), 32, 4)]
)
def test_a_step_has_one_size_whatever_the_gradients(shape, rows, columns):
    gradient = torch.from_numpy(np.random.default_rng(0).normal(size=shape)).float()
    norms = []
    for scale in (1.0, 2.0**10, 2.0**-10):
        weight = nn.Parameter(torch.zeros(shape))
        weight.grad = scale * gradient
        Muon([weight], lr=0.01, gain=3).step()
        norms.append(float(weight.detach().norm()))
        # against the gradient
        assert float((weight.detach() * gradient).sum()) < 0
    # all min(m, n) singular values within 0.68 to 1.21
    full = 0.03 * max(1, rows / columns) ** 0.5 * min(rows, columns) ** 0.5
    assert 0.68 * full < min(norms) and max(norms) < 1.21 * full
    # the norm is divided by itself plus 1e-7, which the smallest gradient feels
    assert (
        max(norms) - min(norms)
        < full * (1e-7 / float(2.0**-10 * gradient.norm()) + 50 * EPS) * 3.4445**5
    )


def test_biases_and_a_single_output_are_adams():
    network = nn.Sequential(nn.Conv2d(2, 4, 3), nn.Conv2d(4, 1, 1))
    twin = nn.Sequential(nn.Conv2d(2, 4, 3), nn.Conv2d(4, 1, 1))
    twin.load_state_dict(network.state_dict())
    adams = [twin[0].bias, twin[1].weight, twin[1].bias]
    ours = Muon(network.parameters(), 0.01)
    theirs = torch.optim.Adam(adams, 0.01, betas=(0.9, 0.99), fused=True)
    for step in range(3):
        for mine, other in zip(network.parameters(), twin.parameters(), strict=True):
            mine.grad = torch.full_like(mine, 1.0 + step)
            other.grad = mine.grad.clone()
        ours.step()
        theirs.step()
    for mine, other in zip((network[0].bias, *network[1].parameters()), adams, strict=True):
        assert torch.equal(mine, other)
    assert not torch.equal(network[0].weight, twin[0].weight)


def test_momentum_is_the_mean_of_the_past():
    first, second = (
        torch.from_numpy(np.random.default_rng(s).normal(size=(3, 5))).float() for s in (1, 2)
    )
    weight = nn.Parameter(torch.zeros(3, 5))
    optimiser = Muon([weight], lr=1.0, gain=1, momentum=0.8)
    for gradient in (first, second):
        before, weight.grad = weight.detach().clone(), gradient
        optimiser.step()
    mean = 0.8 * (0.2 * first) + 0.2 * second
    expected = -orthogonal((0.8 * mean + 0.2 * second)[None])[0]
    torch.testing.assert_close(weight - before, expected, rtol=0, atol=50 * EPS * 3.4445**5)


def test_no_gradient_is_no_step():
    weight = nn.Parameter(torch.ones(3, 5))
    weight.grad = torch.zeros(3, 5)
    Muon([weight], lr=1.0).step()
    assert torch.equal(weight, torch.ones(3, 5))
