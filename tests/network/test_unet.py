"""The network: shape, size, and what it is made of."""

import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from siamdecon import UNet
from siamdecon.methods.ssi import SmallUNet
from siamdecon.network.unet import (
    BATCH_NORM,
    CONV,
    Conv3d,
    channels_last,
    receptive_field,
    seeded,
)


def parameters(model):
    return sum(p.numel() for p in model.parameters())


def test_the_papers_network_has_5_56_million_parameters():
    """The paper counts 5.75 M, of which 96^2 + 192^2 + 384^2 belong to shortcuts that are never used."""
    count = parameters(UNet(n_dim=2))
    assert count == 5_564_736
    assert (count + 96**2 + 192**2 + 384**2) // 10_000 == 575


def test_every_parameter_takes_part():
    model = UNet(features=4).train()
    model(torch.randn(2, 1, 16, 16)).square().sum().backward()
    assert all(p.grad is not None for p in model.parameters())


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 3), st.integers(1, 37), st.integers(1, 37))
def test_any_size_comes_back_the_same(n, height, width):
    model = UNet(features=2).eval()
    assert model(torch.zeros(n, 1, height, width)).shape == (n, 1, height, width)


def test_three_dimensions_add_the_skip_connections():
    model = UNet(n_dim=3, features=4)
    assert model(torch.zeros(1, 1, 8, 10, 12)).shape == (1, 1, 8, 10, 12)
    assert model.decoder[0].residual[2].in_channels == 4
    assert UNet(n_dim=2, features=4).decoder[0].residual[2].in_channels == 8
    assert UNet(n_dim=3).first.out_channels == 48


@pytest.mark.parametrize("n_dim", [2, 3])
def test_without_batch_normalisation_no_image_depends_on_its_neighbours(n_dim):
    torch.manual_seed(0)
    x = torch.randn(2, 1, *[8] * n_dim, dtype=torch.float64)
    for batch_norm in (True, False):
        model = UNet(n_dim, features=4, batch_norm=batch_norm).double().train()
        alone = torch.cat([model(one[None]) for one in x])
        # a convolution of two may sum in another order than that of one
        assert torch.allclose(model(x), alone, rtol=0, atol=1e-12) != batch_norm
        assert any("running" in name for name, _ in model.named_buffers()) == batch_norm


@pytest.mark.parametrize("n_dim", [2, 3])
@pytest.mark.parametrize("concatenate", [True, False])
def test_skip_connections_are_joined_as_asked(n_dim, concatenate):
    model = UNet(n_dim, features=4, concatenate=concatenate)
    assert model.decoder[0].residual[2].in_channels == 4 * (1 + concatenate)
    assert model(torch.zeros(1, 1, *[9] * n_dim)).shape == (1, 1, *[9] * n_dim)


def test_the_receptive_field_is_symmetric_and_reaches_far():
    """One output pixel must see both sides of its place, or masks would leak on one side only."""
    torch.manual_seed(0)
    model = UNet(features=4).eval()
    x = torch.zeros(1, 1, 81, 81, requires_grad=True)
    model(x)[0, 0, 40, 40].backward()
    seen = x.grad[0, 0].abs().sum(dim=0).nonzero()
    assert seen.min() < 30
    assert seen.max() > 50


@pytest.mark.parametrize("n_dim", [2, 3])
def test_a_network_that_looks_at_the_whole_image_has_no_field(n_dim):
    class Brightness(torch.nn.Module):
        def forward(self, x):
            return x + x.mean()

    with pytest.raises(ValueError, match="stitch: expected 'blend'"):
        receptive_field(Brightness(), n_dim)


@pytest.mark.parametrize("n_dim", [2, 3])
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_the_receptive_field_is_that_along_any_axis(n_dim, axis):
    """Only the last one was looked at."""
    sides = [1] * n_dim
    sides[axis] = 21
    conv = CONV[n_dim](1, 1, sides, padding=[n // 2 for n in sides])
    assert receptive_field(conv, n_dim, stride=1) == 10


def test_a_network_that_halves_an_image_has_no_field_of_one_pixels_stride():
    halving = SmallUNet(2, features=2)
    for stride in (1, 2):
        with pytest.raises(ValueError, match=rf"by {stride} pixels, got 'exact'; .* 2 \*\* n"):
            receptive_field(halving, 2, stride)
    assert receptive_field(halving, 2, 4) == receptive_field(halving, 2, 8)


def test_a_normalisation_without_weights_looks_at_the_whole_image_unless_its_statistics_run():
    normalised = torch.nn.InstanceNorm2d(1)
    with pytest.raises(ValueError, match="a network that looks at the whole image"):
        receptive_field(normalised, 2, stride=1)
    assert receptive_field(torch.nn.InstanceNorm2d(1, track_running_stats=True), 2, stride=1) == 0


@pytest.mark.parametrize("arguments", [{"n_dim": 4}, {"features": 0}, {"depth": 0}])
def test_impossible_networks(arguments):
    with pytest.raises(ValueError, match="expected"):
        UNet(**arguments)


def test_a_colour_image_is_refused():
    with pytest.raises(ValueError, match=r"shape \(n, 1, y, x\), got \(1, 3, 8, 8\)"):
        UNet(features=2)(torch.zeros(1, 3, 8, 8))


@pytest.mark.parametrize("renorm", [False, True])
def test_one_pixel_on_the_lowest_level_is_too_few_to_train_on(renorm):
    model = UNet(features=2, depth=6, renorm=renorm)
    with pytest.raises(ValueError, match=r"^x: .* lowest level, .* one patch of \(32, 32\); take"):
        model(torch.zeros(1, 1, 32, 32))
    assert model(torch.zeros(2, 1, 32, 32)).shape == (2, 1, 32, 32)
    assert model.eval()(torch.zeros(1, 1, 32, 32)).shape == (1, 1, 32, 32)


@pytest.mark.parametrize(("depth", "expected"), [(1, 3), (2, 10), (3, 24)])
def test_the_receptive_field_is_that_of_a_brute_force_search(depth, expected):
    """Change one input pixel at a time, and see how far outputs change."""
    torch.manual_seed(0)
    model = UNet(features=3, depth=depth).double().eval()
    stride = 2 ** (depth - 1)
    x = torch.rand(1, 1, 8, 120, dtype=torch.float64)
    with torch.inference_mode():
        rest, reach = model(x), 0
        for place in range(60, 60 + stride):
            other = x.clone()
            other[..., place] += 10
            changed = (model(other) != rest)[0, 0].any(dim=0).nonzero().flatten()
            reach = max(reach, place - int(changed.min()), int(changed.max()) - place)
    assert reach <= receptive_field(model, 2, stride) == expected


@pytest.mark.parametrize("network", [UNet, SmallUNet])
def test_an_estimate_is_not_rounded_to_bfloat16(network):
    """A bright 16-bit image: 1842 pixels took 121 values, 108 counts apart."""
    torch.manual_seed(0)
    f = network(2, features=8).eval()
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        y = f(torch.rand(1, 1, 64, 64))
    assert y.dtype == torch.float32
    assert len(y.unique()) > 0.9 * y.numel()


@pytest.mark.parametrize("planes", [1, 2, 3, 4, 5, 8])
@pytest.mark.parametrize("network", [UNet, SmallUNet])
def test_a_volume_of_few_planes_has_finite_gradients(network, planes):
    """sdeconv#1, pytorch#163347: convolutions of one plane in bfloat16 gave NaN on CPUs with AMX."""
    torch.manual_seed(0)
    f = network(3, features=4)
    with torch.autocast("cpu", torch.bfloat16):
        y = f(torch.rand(1, 1, planes, 24, 24))
        y.float().square().mean().backward()
    assert y.isfinite().all()
    assert all(p.grad.isfinite().all() for p in f.parameters())


@pytest.mark.parametrize("n_dim", [2, 3])
def test_a_folded_network_computes_all_between_its_ends_on_fewer_pixels(n_dim):
    """It is the inner layers' function of blocks of pixels: what moves by whole strides comes back moved."""
    torch.manual_seed(0)
    model = UNet(n_dim, features=3, depth=2, batch_norm=False, fold=2).double()
    sizes = []
    model.encoder[0].register_forward_hook(lambda *seen: sizes.append(tuple(seen[1][0].shape[2:])))
    x = torch.randn(1, 1, *[13] * n_dim, dtype=torch.float64)
    assert model(x).shape == x.shape
    assert sizes == [(8,) * n_dim]  # 16, continued to whole strides of 4, in blocks of 2
    wide = torch.randn(1, 1, *[8] * (n_dim - 1), 64, dtype=torch.float64)
    reach = receptive_field(model, n_dim, model.stride)
    moved = model(wide.roll(model.stride, dims=-1)).roll(-model.stride, dims=-1)
    inside = (..., slice(reach, 64 - reach - model.stride))
    assert torch.allclose(moved[inside], model(wide)[inside], rtol=0, atol=1e-12)
    assert not torch.allclose(
        model(wide.roll(1, dims=-1)).roll(-1, dims=-1)[inside], model(wide)[inside]
    )


def renormalised(n_dim=2, momentum=0.25):
    """A layer of batch renormalisation in float64, and batches of other means and deviations."""
    torch.manual_seed(0)
    layer = BATCH_NORM[True][n_dim](3, momentum=momentum).double()
    torch.nn.init.uniform_(layer.weight, 0.5, 2), torch.nn.init.normal_(layer.bias)
    batches = [torch.randn(2, 3, *[4] * n_dim).double() * (1 + i) + i for i in range(6)]
    return layer, batches


@pytest.mark.parametrize("n_dim", [2, 3])
def test_batch_renormalisation_is_ioffes(n_dim):
    """Units and gradients against the equations of the paper, written out, with r and d held."""
    layer, batches = renormalised(n_dim)
    axes, shape = (0, *range(2, n_dim + 2)), (1, 3, *[1] * n_dim)
    for i, x in enumerate(batches):
        share = max(0.25, 1 / (1 + i))
        x = x.requires_grad_()
        mean, variance = x.mean(axes), x.var(axes, correction=0)
        if i == 0:
            mu, v = mean.detach(), variance.detach()
        mu, v = (old + share * (new.detach() - old) for old, new in ((mu, mean), (v, variance)))
        sigma_b, sigma = (variance + layer.eps).sqrt(), (v + layer.eps).sqrt()
        r, d = (sigma_b / sigma).detach(), ((mean - mu) / sigma).detach()
        unit = (x - mean.view(shape)) / sigma_b.view(shape) * r.view(shape) + d.view(shape)
        expected = unit * layer.weight.view(shape) + layer.bias.view(shape)
        inputs = (x, layer.weight, layer.bias)
        y, weight = layer(x), torch.randn(x.shape).double()
        got = torch.autograd.grad((y * weight).sum(), inputs)
        wanted = torch.autograd.grad((expected * weight).sum(), inputs)
        # float64, some ten operations on sums of up to 128 values
        torch.testing.assert_close(y, expected, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(got, wanted, rtol=1e-11, atol=1e-11)
    assert layer.num_batches_tracked == len(batches)


def test_batch_renormalisation_has_the_same_units_in_training_and_restoration():
    layer, batches = renormalised()
    for x in batches:
        y = layer(x)
        y.sum().backward()
    torch.testing.assert_close(layer.eval()(x), y)
    plain = torch.nn.BatchNorm2d(3, momentum=0.25).double()
    for x in batches:
        y = plain(x)
    assert (plain.eval()(x) - y).abs().max() > 0.1  # what it is for


def test_all_passes_of_a_step_have_the_same_units():
    """Loss terms compare two passes: other units would be other images."""
    layer, batches = renormalised()
    for x in batches:
        first, _, again = layer(x), layer(x + 1), layer(x)
        assert torch.equal(first, again)
        (first + again).sum().backward()


def test_all_passes_of_a_step_are_one_batch():
    (one, batches), (two, _) = renormalised(), renormalised()
    for x in batches:
        one(x).sum().backward()
        (two(x) + two(x)).sum().backward()
    for expected, found in zip(one.buffers(), two.buffers(), strict=True):
        assert torch.equal(expected, found)


def test_a_layer_whose_weight_is_kept_still_passes_gradients_on():
    layer, (x, *_) = renormalised()
    x.requires_grad_()
    (expected,) = torch.autograd.grad(layer(x)[0].sum(), x)
    layer.weight.requires_grad_(False)
    layer(x)[0].sum().backward()
    # the second pass has statistics of its own to start from, the same as the first's: one batch
    torch.testing.assert_close(x.grad, expected)


def test_a_look_leaves_the_running_statistics():
    layer, batches = renormalised()
    layer(batches[0]).sum().backward()
    before = {name: b.clone() for name, b in layer.named_buffers()}
    with torch.no_grad():
        layer(batches[1])
    assert all(torch.equal(before[name], b) for name, b in layer.named_buffers())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_statistics_off_the_cpu_are_the_same(dtype):
    layer, (x, *_) = renormalised()
    x = x.to(dtype)
    elsewhere = SimpleNamespace(is_cpu=False, ndim=4, float=x.double)
    here = layer.float().statistics(x)
    for ours, theirs in zip(here, layer.statistics(elsewhere), strict=True):
        # sums of 32 values of 1 or so, in float32
        torch.testing.assert_close(ours.double(), theirs, rtol=32 * 2**-24, atol=32 * 2**-24)


def test_networks_built_in_two_threads_have_the_weights_of_their_seeds():
    meeting, before = threading.Barrier(2), torch.get_rng_state()

    def weights(seed):
        return torch.cat([p.detach().flatten() for p in seeded(seed, UNet, 2, 32).parameters()])

    def build(first):
        meeting.wait(timeout=60)
        return [weights(seed) for seed in range(first, first + 10)]

    with ThreadPoolExecutor(2) as pool:
        built = [w for part in pool.map(build, (0, 10)) for w in part]
    assert all(torch.equal(w, weights(seed)) for seed, w in enumerate(built))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("size", [(2, 5, 6), (4, 5, 6), (5, 5, 6), (8, 9, 7)])
def test_a_volume_in_halves_is_convolved_like_a_whole(size):
    """The oracle is torch's own convolution in float64."""
    conv = seeded(0, Conv3d, 6, 5, 3, padding=1)
    x = torch.randn(1, 6, *size, generator=torch.Generator().manual_seed(1))
    x = x.contiguous(memory_format=channels_last(3)).requires_grad_()
    weights = [p.detach().double().requires_grad_() for p in (conv.weight, conv.bias)]
    exact = x.detach().double().requires_grad_()
    y, true = conv(x), torch.nn.functional.conv3d(exact, *weights, padding=1)
    # each number is a sum of n products, whose rounding errors add up to n eps times the sum of their sizes
    n, eps = max(27 * 6, y[0, 0].numel()), torch.finfo(torch.float32).eps
    ours = torch.autograd.grad(y.square().sum(), (x, *conv.parameters()))
    theirs = torch.autograd.grad(true.square().sum(), (exact, *weights))
    for got, expected in zip((y, *ours), (true, *theirs), strict=True):
        bound = 2 * n * eps * expected.detach().abs().max()
        assert (got - expected).abs().max() < bound


@pytest.mark.skipif(
    not torch.backends.mkldnn.is_available(), reason="torch was built without oneDNN"
)
def test_a_training_on_single_volumes_unfolds_none():
    """Unfolded for 3 x 3 x 3, they would take 27 times the memory."""
    model = UNet(3, features=4, momentum=0.02).to(memory_format=channels_last(3)).train()
    with torch.profiler.profile(record_shapes=True) as seen:
        model(torch.randn(1, 1, 16, 16, 16)).square().mean().backward()
    convolutions = [
        e
        for e in seen.events()
        if "conv" in e.name and [3, 3, 3] in [s[2:] for s in e.input_shapes]
    ]
    assert convolutions and not [e for e in convolutions if "slow" in e.name]
