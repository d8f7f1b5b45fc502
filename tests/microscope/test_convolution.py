"""The forward operator against scipy.signal and numpy.pad, its transpose against its matrix."""

import copy
import itertools
import threading
import weakref

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal

from siamdecon.microscope.convolution import PADDINGS, PSFConvolution, Workspace

NUMPY_MODES = {
    "replicate": "edge",
    "reflect": "reflect",
    "symmetric": "symmetric",
    "circular": "wrap",
}
SHAPES = [  # of the image and of the kernel: odd, even, larger than the image, 3D
    ((12, 15), (3, 5)),
    ((11, 8), (4, 2)),
    ((9, 10), (1, 6)),
    ((4, 5), (9, 8)),
    ((6, 7, 5), (3, 1, 5)),
    ((4, 6, 5), (2, 4, 3)),
    ((2, 3, 3), (5, 6, 7)),
]


def kernel(shape, seed=0):
    """An asymmetric kernel with sum 1."""
    k = np.random.default_rng(seed).uniform(size=shape)
    return k / k.sum()


def image(shape, seed=1):
    return np.random.default_rng(seed).normal(size=shape)


def tensor(array, dtype=torch.float64):
    return torch.tensor(array, dtype=dtype)[None, None]


def scipy_convolution(x, k, padding):
    if padding == "valid":
        return signal.convolve(x, k, mode="valid", method="direct")
    widths = [(n, n) for n in k.shape]  # more than needed, the rest is cut
    padded = np.pad(x, widths, NUMPY_MODES.get(padding, "constant"))
    full = signal.convolve(padded, k, "full", method="direct")
    first = [n + n // 2 for n in k.shape]  # the kernel's centre is at n // 2
    return full[tuple(slice(a, a + m) for a, m in zip(first, x.shape, strict=True))]


def fits(shape, size, padding):
    return padding != "valid" or all(m >= n for m, n in zip(shape, size, strict=True))


CASES = [(*case, padding) for case in SHAPES for padding in PADDINGS if fits(*case, padding)]
every_case = pytest.mark.parametrize(("shape", "size", "padding"), CASES)
every_padding = pytest.mark.parametrize("padding", PADDINGS)


# The convolution


@every_case
def test_is_the_convolution_of_scipy(shape, size, padding):
    x, k = image(shape), kernel(size)
    blurred = PSFConvolution(k, padding=padding)(tensor(x))[0, 0]
    np.testing.assert_allclose(blurred, scipy_convolution(x, k, padding), rtol=0, atol=1e-12)


@settings(max_examples=150, deadline=None)
@given(data=st.data(), padding=st.sampled_from(list(PADDINGS)), seed=st.integers(0, 1000))
def test_is_the_convolution_of_scipy_for_any_shape(data, padding, seed):
    n_dim = data.draw(st.integers(2, 3))
    size = data.draw(st.tuples(*[st.integers(1, 7)] * n_dim))
    shape = data.draw(st.tuples(*[st.integers(n if padding == "valid" else 1, 9) for n in size]))
    x, k = image(shape, seed), kernel(size, seed + 1)
    blurred = PSFConvolution(k, padding=padding)(tensor(x))[0, 0]
    np.testing.assert_allclose(blurred, scipy_convolution(x, k, padding), rtol=0, atol=1e-12)


@pytest.mark.parametrize("size", [(3, 4), (2, 3, 5)])
def test_each_image_and_channel_is_blurred_by_itself(size):
    x = image((2, 3, *[8] * len(size)))
    k = kernel(size)
    blurred = PSFConvolution(k, padding="reflect")(torch.tensor(x))
    assert blurred.shape == x.shape
    for i, c in itertools.product(range(2), range(3)):
        expected = scipy_convolution(x[i, c], k, "reflect")
        np.testing.assert_allclose(blurred[i, c], expected, rtol=0, atol=1e-12)


@every_padding
def test_a_spot_leaves_the_kernel_and_not_its_mirror_image(padding):
    x = np.zeros((11, 11))
    x[5, 5] = 1
    k = kernel((3, 3))
    blurred = PSFConvolution(k, padding=padding)(tensor(x))[0, 0]
    centre = blurred.shape[0] // 2
    around = slice(centre - 1, centre + 2)
    np.testing.assert_allclose(blurred[around, around], k, rtol=0, atol=1e-12)


@pytest.mark.parametrize("padding", ["replicate", "reflect", "symmetric", "circular", "valid"])
def test_a_constant_image_stays_constant(padding):
    blurred = PSFConvolution(kernel((4, 5)), padding=padding)(torch.full((1, 1, 9, 9), 0.7))
    torch.testing.assert_close(blurred, torch.full_like(blurred, 0.7))


@every_case
def test_a_large_image_is_filtered_in_parts(shape, size, padding, monkeypatch):
    x, g = tensor(image(shape)), PSFConvolution(kernel(size), padding=padding)
    whole = [g(x), g.correlate(x), g.adjoint(g(x))]
    for at_once in (7, 100):  # row by row, and some rows at a time
        monkeypatch.setattr("siamdecon.microscope.convolution.AT_ONCE", at_once)
        g = PSFConvolution(kernel(size), padding=padding)
        for parts, expected in zip([g(x), g.correlate(x), g.adjoint(g(x))], whole, strict=True):
            torch.testing.assert_close(parts, expected)


@every_case
def test_a_workspace_serves_again_and_changes_nothing(shape, size, padding, monkeypatch):
    x, plain = tensor(image(shape)), PSFConvolution(kernel(size), padding=padding)
    whole = [plain(x), plain.correlate(x), plain(2 * x)]
    monkeypatch.setattr("siamdecon.microscope.convolution.AT_ONCE", 7)
    g = PSFConvolution(kernel(size), padding=padding, workspace=Workspace())
    memory = set()
    for blur, expected in zip([g, g.correlate, lambda x: g(2 * x)], whole, strict=True):
        parts = blur(x)
        torch.testing.assert_close(parts, expected)
        memory.add(parts.data_ptr())
    assert len(memory) == 1
    assert g.workspace.take("result", (1, 2), x.dtype, x.device).shape == (1, 2)


@pytest.mark.parametrize("padding", ["replicate", "zero"])
def test_a_gradient_passes_through_the_parts(padding, monkeypatch):
    monkeypatch.setattr("siamdecon.microscope.convolution.AT_ONCE", 20)
    g = PSFConvolution(kernel((3, 2)), padding=padding)
    x = torch.rand(2, 3, 4, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(g, x)


def test_float32_is_as_exact_as_float32_can_be():
    x, k = image((64, 64)), kernel((17, 17))
    blurred = PSFConvolution(k, padding="zero")(tensor(x, torch.float32))[0, 0]
    assert blurred.dtype == torch.float32
    np.testing.assert_allclose(blurred, scipy_convolution(x, k, "zero"), rtol=0, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.bfloat16, torch.float16])
def test_other_dtypes_are_computed_in_float32(dtype):
    x = (10 * tensor(image((6, 6)) ** 2)).to(dtype)
    g = PSFConvolution(kernel((3, 3)))
    assert g(x).dtype == torch.float32
    torch.testing.assert_close(g(x), g(x.float()), rtol=0, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("step", ["forward", "correlate", "adjoint"])
def test_autocast_leaves_the_precision_alone(dtype, step):
    x = tensor(image((16, 16)), dtype)
    apply = getattr(PSFConvolution(kernel((3, 5))), step)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = apply(x)
    assert inside.dtype == torch.float32
    torch.testing.assert_close(inside, apply(x.float()), rtol=0, atol=0)


# The transpose


@every_case
def test_adjoint_satisfies_its_definition(shape, size, padding):
    g = PSFConvolution(kernel(size), padding=padding)
    x = tensor(image(shape))
    y = torch.from_numpy(image(g(x).shape, seed=2))
    left, right = (g(x) * y).sum(), (x * g.adjoint(y)).sum()
    assert float(left) == pytest.approx(float(right), abs=1e-10)


@every_padding
@pytest.mark.parametrize(
    ("shape", "size"), [((4, 5), (3, 3)), ((5, 4), (2, 4)), ((3, 4, 2), (2, 3, 2))]
)
def test_adjoint_is_the_transposed_matrix(shape, size, padding):
    g = PSFConvolution(kernel(size), padding=padding)
    basis = torch.eye(np.prod(shape), dtype=torch.float64).reshape(-1, 1, *shape)
    matrix = g(basis).flatten(1).T  # one column for each pixel of x
    out = g(basis).shape[2:]
    y = image(out, seed=2)
    expected = (matrix.T @ torch.from_numpy(y).flatten()).reshape(shape)
    np.testing.assert_allclose(g.adjoint(tensor(y))[0, 0], expected, rtol=0, atol=1e-12)


def test_adjoint_of_valid_takes_the_shape_of_the_image():
    g = PSFConvolution(kernel((3, 4)), padding="valid")
    assert g.adjoint(torch.ones(2, 3, 5, 5)).shape == (2, 3, 7, 8)


@pytest.mark.parametrize("size", [(3, 5), (1, 3), (3, 3, 5)])
@every_padding
def test_correlate_is_the_convolution_with_the_flipped_kernel(size, padding):
    k, y = kernel(size), tensor(image([9] * len(size)))
    flipped = PSFConvolution(np.flip(k), padding=padding)
    expected = flipped(y)
    correlated = PSFConvolution(k, padding=padding).correlate(y)
    torch.testing.assert_close(correlated, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("size", [(3, 5), (4, 2), (2, 3, 4)])
@pytest.mark.parametrize("padding", [padding for padding in PADDINGS if padding != "valid"])
def test_correlate_is_the_adjoint_a_kernel_away_from_the_border(size, padding):
    g = PSFConvolution(kernel(size), padding=padding)
    y = tensor(image([12] * len(size)))
    width = 0 if padding in ("zero", "circular") else max(size)
    inside = (..., *[slice(width, 12 - width)] * len(size))
    torch.testing.assert_close(g.correlate(y)[inside], g.adjoint(y)[inside], rtol=0, atol=1e-12)


@every_padding
@pytest.mark.parametrize("size", [(3, 2), (2, 1, 3)])
def test_gradients_are_those_of_finite_differences(size, padding):
    g = PSFConvolution(kernel(size), padding=padding)
    x = tensor(image([4] * len(size))).requires_grad_()
    for step in (g, g.correlate, g.adjoint):
        assert torch.autograd.gradcheck(step, x)
        assert torch.autograd.gradgradcheck(step, x)


def test_a_penalty_on_the_adjoint_has_a_gradient():
    # d/dy |g^T y|^2 = 2 g g^T y
    g = PSFConvolution(kernel((3, 4)))
    y = tensor(image((6, 5))).requires_grad_()
    g.adjoint(y).square().sum().backward()
    torch.testing.assert_close(y.grad, 2 * g(g.adjoint(y)).detach())


def test_adjoint_keeps_no_graph_where_gradients_are_off():
    y = torch.ones(1, 1, 4, 4, requires_grad=True)
    with torch.no_grad():
        assert not PSFConvolution(kernel((3, 3))).adjoint(y).requires_grad


def test_adjoint_works_in_inference_mode():
    g, y = PSFConvolution(kernel((3, 3))), tensor(image((6, 6)))
    expected = g.adjoint(y)
    with torch.inference_mode():
        torch.testing.assert_close(g.adjoint(y), expected)


def test_can_be_trained_through_after_a_use_in_inference_mode():
    g = PSFConvolution(kernel((3, 3)))
    x = torch.ones(1, 1, 6, 6, requires_grad=True)
    with torch.inference_mode():
        g(x)
    g(x).sum().backward()
    assert x.grad.isfinite().all()


# What the module remembers


@pytest.fixture
def transforms(monkeypatch):
    """The shapes of the arrays that torch.fft.rfftn is called with."""
    shapes, original = [], torch.fft.rfftn

    def counting(x, *args, **kwargs):
        shapes.append(tuple(x.shape))
        return original(x, *args, **kwargs)

    monkeypatch.setattr(torch.fft, "rfftn", counting)
    return shapes


def test_the_kernel_is_transformed_once_for_each_shape_and_dtype(transforms):
    g = PSFConvolution(kernel((3, 4)))
    for dtype in (torch.float32, torch.float64):
        for shape in ((8, 8), (8, 40)):
            for _ in range(3):
                g(torch.ones(2, 1, *shape, dtype=dtype))
                g.adjoint(torch.ones(1, 1, *shape, dtype=dtype))
    assert sum(len(shape) == 2 for shape in transforms) == 4  # an image has four axes


def test_the_kernel_is_transformed_once_for_each_device():
    g = PSFConvolution(kernel((3, 3)))
    on_cpu = g.transfer_function((8, 8), torch.ones(1))
    elsewhere = g.transfer_function((8, 8), torch.ones(1, device="meta"))
    assert (on_cpu.device.type, elsewhere.device.type) == ("cpu", "meta")
    assert elsewhere.shape == on_cpu.shape == (8, 5)
    assert g.transfer_function((8, 8), torch.ones(1)) is on_cpu


def test_the_transfer_function_is_the_transform_of_the_kernel():
    k = kernel((3, 4))
    transfer = PSFConvolution(k).transfer_function((6, 8), torch.ones(1, dtype=torch.float64))
    grid = np.zeros((6, 8))
    grid[:3, :4] = k
    expected = np.fft.rfft2(np.roll(grid, (-1, -2), (0, 1)))  # the centre is the kernel's [1, 2]
    np.testing.assert_allclose(transfer, expected, rtol=0, atol=1e-14)


def test_images_of_many_sizes_do_not_fill_the_memory():
    g = PSFConvolution(kernel((3, 3)))
    made = [weakref.ref(g.transfer_function((8, 8 + i), torch.ones(1))) for i in range(40)]
    assert 1 <= sum(reference() is not None for reference in made) <= 8


def test_there_is_nothing_to_learn_or_to_store():
    g = PSFConvolution(kernel((3, 3)))
    g(torch.ones(1, 1, 6, 6))
    assert not list(g.parameters())
    assert not g.state_dict()


def test_a_deep_copy_does_the_same():
    x, g = tensor(image((6, 6))), PSFConvolution(kernel((3, 4)), padding="reflect")
    before = copy.deepcopy(g)
    expected = g(x)
    for twin in (before, copy.deepcopy(g)):
        torch.testing.assert_close(twin(x), expected, rtol=0, atol=0)


def test_inputs_are_left_alone():
    k, x = kernel((3, 3)), tensor(image((6, 6)))
    k_before, x_before = k.copy(), x.clone()
    g = PSFConvolution(k)
    g(x), g.correlate(x), g.adjoint(x)
    np.testing.assert_array_equal(k, k_before)
    torch.testing.assert_close(x, x_before, rtol=0, atol=0)


# The interior


@pytest.mark.parametrize("size", [(3, 5), (4, 2), (1, 1), (2, 3, 4)])
def test_interior_cuts_out_the_pixels_that_valid_returns(size):
    x = tensor(image([9] * len(size)))
    spot = np.zeros(size)
    spot[tuple(n // 2 for n in size)] = 1  # the kernel that leaves everything in its place
    g = PSFConvolution(spot, padding="valid")
    torch.testing.assert_close(g.interior(x), g(x), rtol=0, atol=1e-12)
    blurred = PSFConvolution(kernel(size), padding="zero")(x)
    valid = PSFConvolution(kernel(size), padding="valid")
    torch.testing.assert_close(valid.interior(blurred), valid(x), rtol=0, atol=1e-12)


@pytest.mark.parametrize("padding", [padding for padding in PADDINGS if padding != "valid"])
def test_interior_is_everything_where_the_border_is_padded(padding):
    x = tensor(image((6, 6)))
    assert PSFConvolution(kernel((3, 3)), padding=padding).interior(x).shape == x.shape


# Errors


def test_an_unknown_padding_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match=r"padding: expected one of replicate, .*, got 'same'"):
        PSFConvolution(kernel((3, 3)), padding="same")


@pytest.mark.parametrize("shape", [(3,), (1, 1, 3, 3)])
def test_kernels_of_other_dimensions_are_refused(shape):
    with pytest.raises(ValueError, match=r"psf: expected 2 or 3 axes, got shape \("):
        PSFConvolution(kernel(shape))


@pytest.mark.parametrize(("size", "n_dim"), [((3, 3), 3), ((3, 3, 3), 2)])
def test_a_kernel_must_have_the_axes_that_were_announced(size, n_dim):
    with pytest.raises(ValueError, match=f"psf: expected {n_dim} axes"):
        PSFConvolution(kernel(size), n_dim)


@pytest.mark.parametrize("step", ["forward", "correlate", "adjoint"])
@pytest.mark.parametrize(
    ("size", "axes"), [((3, 3), r"\(n, c, y, x\)"), ((3, 3, 3), r"\(n, c, z, y, x\)")]
)
@pytest.mark.parametrize("shape", [(6, 6), (1, 6, 6), (1, 1, 1, 6, 6, 6)])
def test_tensors_of_other_dimensions_are_refused(step, size, axes, shape):
    with pytest.raises(ValueError, match=rf"expected a tensor of shape {axes}, got \("):
        getattr(PSFConvolution(kernel(size)), step)(torch.ones(shape))


@pytest.mark.parametrize("step", ["forward", "correlate"])
@pytest.mark.parametrize("shape", [(2, 9), (9, 3)])
def test_valid_needs_an_image_as_large_as_the_kernel(step, shape):
    g = PSFConvolution(kernel((3, 4)), padding="valid")
    with pytest.raises(ValueError, match=r"at least as large as the kernel \(3, 4\), got \("):
        getattr(g, step)(torch.ones(1, 1, *shape))
    getattr(g, step)(torch.ones(1, 1, 3, 4))


def test_prints_what_it_is():
    assert "psf=(3, 4), padding='zero'" in str(PSFConvolution(kernel((3, 4)), padding="zero"))


def test_each_thread_has_buffers_of_its_own_in_a_workspace():
    workspace, like = Workspace(), (torch.float32, torch.device("cpu"))
    places = [workspace.take("rows", (4,), *like).data_ptr()]
    both = threading.Barrier(2)

    def other():
        places.append(workspace.take("rows", (4,), *like).data_ptr())
        both.wait(
            60
        )  # two threads at once, so that neither takes the memory that the other gave back
        both.wait(60)

    thread = threading.Thread(target=other)
    thread.start()
    both.wait(60)
    places.append(workspace.take("rows", (2,), *like).data_ptr())
    both.wait(60)
    thread.join()
    assert places[0] == places[2] != places[1]
