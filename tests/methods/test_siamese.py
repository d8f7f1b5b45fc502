"""The paper's training: what a step does, and that a run can be killed, resumed, interrupted and repeated."""

import dataclasses
import errno
import struct
import zipfile

import numpy as np
import pytest
import torch

from siamdecon import (
    LossWeights,
    Noise,
    PSFConvolution,
    TrainingConfig,
    UNet,
    deconvolve,
    deconvolve_file,
    train,
    write_image,
)
from siamdecon.methods.siamese import Noise2Same, Noise2SameD, Noise2Self, SiameseTraining
from siamdecon.network.unet import BatchRenorm2d
from siamdecon.problem import Problem
from tests.files.test_atomic import other_process_at

PSF = np.array([[0, 1, 0], [1, 2, 1], [0, 1, 0]]) / 6
TINY = TrainingConfig(
    steps=6, batch_size=2, patch_size=32, schedule="cosine", ema_decay=0.9, padding="valid"
)

#: As a camera gives it: some of its values are negative when its bytes are taken for int16.
RAW = np.random.default_rng(0).integers(500, 50_000, (60, 60), dtype=np.uint16)


def image(seed=0):
    return np.random.default_rng(seed).uniform(size=(48, 40)).astype(np.float32)


def network(seed=0):
    torch.manual_seed(seed)
    return UNet(features=4, momentum=0.1)


def begin(config):
    """A run before its first step."""
    return SiameseTraining(network(), Problem.as_it_is(image(), PSF, device="cpu"), config)


def assert_same(a, b):
    for (name, x), y in zip(a.state_dict().items(), b.state_dict().values(), strict=True):
        assert torch.equal(x, y), name


def fail_after(step, error):
    def callback(run):
        if run.step == step:
            raise error

    return callback


def test_a_run_repeats_bit_by_bit():
    first, second = (train(network(), image(), PSF, TINY) for _ in range(2))
    assert_same(first.average, second.average)
    assert_same(first.model, second.model)


def test_another_seed_is_another_run():
    first = train(network(), image(), PSF, TINY)
    other = train(network(), image(), PSF, dataclasses.replace(TINY, seed=1))
    assert not np.array_equal(first.history["total"], other.history["total"])


@pytest.mark.parametrize("killed_at", [1, 3, 5])
@pytest.mark.parametrize("ema_decay", [0, 0.9])
def test_a_killed_run_goes_on_to_identical_weights(tmp_path, killed_at, ema_decay):
    config = dataclasses.replace(TINY, ema_decay=ema_decay)
    whole = train(network(), image(), PSF, config)
    path = tmp_path / "run.pt"
    killed = dict(checkpoint=path, checkpoint_every=2)
    with pytest.raises(SystemExit):
        train(network(), image(), PSF, config, callback=fail_after(killed_at, SystemExit), **killed)
    steps = []
    resumed = train(
        network(), image(), PSF, config, callback=lambda run: steps.append(run.step), **killed
    )
    assert steps[0] == killed_at // 2 * 2 + 1  # not from the start
    assert_same(whole.model, resumed.model)
    assert_same(whole.average, resumed.average)
    np.testing.assert_array_equal(whole.history["total"], resumed.history["total"])
    assert [p.name for p in tmp_path.iterdir()] == ["run.pt"]


def test_a_finished_run_is_not_trained_again(tmp_path):
    path = tmp_path / "run.pt"
    first = train(network(), image(), PSF, TINY, checkpoint=path)
    again = train(
        network(5), image(), PSF, TINY, checkpoint=path, callback=fail_after(0, SystemExit)
    )
    assert again.step == 6
    assert_same(first.average, again.average)


@pytest.mark.parametrize("changed", ["image", "psf", "config"])
def test_a_checkpoint_of_another_run_is_refused(tmp_path, changed):
    path = tmp_path / "run.pt"
    train(network(), image(), PSF, TINY, checkpoint=path)
    other = {"image": image(), "psf": PSF, "config": TINY}
    other[changed] = {
        "image": image(1),
        "psf": np.ones((3, 3)) / 9,
        "config": dataclasses.replace(TINY, learning_rate=1e-3),
    }[changed]
    with pytest.raises(ValueError, match="another image, kernel, network or settings"):
        train(network(), **other, checkpoint=path)


def test_a_checkpoint_of_another_network_is_refused(tmp_path):
    path = tmp_path / "run.pt"
    train(network(), image(), PSF, TINY, checkpoint=path)
    with pytest.raises(ValueError, match="kernel, network or settings"):
        train(UNet(features=6), image(), PSF, TINY, checkpoint=path)


def test_a_checkpoint_of_a_network_of_the_same_sizes_is_refused(tmp_path):
    path = tmp_path / "run.pt"
    train(UNet(features=4, momentum=0.1), image(), PSF, TINY, checkpoint=path)
    with pytest.raises(ValueError, match="kernel, network or settings"):
        train(UNet(features=4, momentum=0.02), image(), PSF, TINY, checkpoint=path)


@pytest.mark.parametrize("on_disk", [False, True])
@pytest.mark.parametrize(
    "changed",
    [
        {"limits": (0, 60_000)},
        {"limits": (0, None)},
        {"image": RAW.reshape(80, 45)},
        {"image": RAW.copy().view(np.int16)},
    ],
    ids=["white", "black", "shape", "dtype"],
)
def test_a_checkpoint_of_another_scale_or_shape_is_refused(on_disk, changed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = {"image": RAW, "limits": None}

    def restore(image, limits):
        how = {"checkpoint": "run.pt", "limits": limits, "noise": None, "progress": False}
        how |= {"tier": "test", "method": "noise2same"}
        if on_disk:
            write_image("in.tif", image, overwrite=True)
            return deconvolve_file("in.tif", PSF, "out.tif", overwrite=True, **how)
        return deconvolve(image, PSF, **how)

    restore(**given)
    restore(**given)  # the same run: taken up
    with pytest.raises(ValueError, match=r"checkpoint: .* belongs to a run with another image"):
        restore(**given | changed)


def test_a_broken_checkpoint_is_named(tmp_path):
    path = tmp_path / "run.pt"
    path.write_bytes(b"not a checkpoint")
    with pytest.raises(ValueError, match=r"run\.pt can't be read; delete it"):
        train(network(), image(), PSF, TINY, checkpoint=path)


def test_a_checkpoint_with_a_changed_number_is_refused(tmp_path):
    # found by flipped bits: torch.load reads on where the archive's checksums differ
    path = tmp_path / "run.pt"
    train(network(), image(), PSF, TINY, checkpoint=path)
    with zipfile.ZipFile(path) as file:
        numbers = [one for one in file.infolist() if "/data/" in one.filename]
    last = max(numbers, key=lambda one: one.header_offset)
    damaged = bytearray(path.read_bytes())
    name, extra = struct.unpack_from("<HH", damaged, last.header_offset + 26)  # their lengths
    damaged[last.header_offset + 30 + name + extra] ^= 1
    path.write_bytes(damaged)
    torch.load(path, weights_only=True)
    with pytest.raises(ValueError, match=r"run\.pt can't be read; delete it"):
        train(network(), image(), PSF, TINY, checkpoint=path)


def test_an_interrupted_run_returns_what_it_has(tmp_path):
    path = tmp_path / "run.pt"
    interrupt = fail_after(3, KeyboardInterrupt)
    saved = dict(checkpoint=path, checkpoint_every=2)
    run = train(network(), image(), PSF, TINY, callback=interrupt, **saved)
    assert run.interrupted
    assert run.step == len(run.history) == 3
    assert not run.average.training
    resumed = train(network(), image(), PSF, TINY, checkpoint=path)
    assert_same(resumed.average, train(network(), image(), PSF, TINY).average)


def test_the_history_has_every_term_by_name():
    weights = LossWeights(*[1.0] * 6)
    run = train(network(), image(), PSF, dataclasses.replace(TINY, weights=weights))
    names = ("bsp", "rec", "inv", "inv_d", "bound", "bound_d")
    assert run.history.names() == ("total", *names)
    total = sum(run.history[name] for name in names)
    np.testing.assert_allclose(run.history["total"], total, rtol=1e-5)
    assert len(run.history) == 6


def test_masked_pixels_are_replaced_by_noise_and_no_others():
    config = dataclasses.replace(TINY, patch_size=40, mask_percent=4, mask_sigma=0.2)
    run = begin(config)
    x = torch.full((400, 1, 40, 40), 7.0)
    mask, x_masked = run.hide(x)
    assert torch.equal(x_masked[~mask], x[~mask])
    noise = x_masked[mask]
    assert abs(noise.mean()) < 5 * 0.2 / len(noise) ** 0.5
    assert abs(noise.std() - 0.2) < 5 * 0.2 / (2 * len(noise)) ** 0.5


def test_the_average_is_the_moving_average_of_the_weights():
    """Against the recursion written out: w_avg <- d w_avg + (1 - d) w, with d growing to the decay."""
    seen = []
    run = train(
        network(),
        image(),
        PSF,
        TINY,
        callback=lambda run: seen.append(next(run.model.parameters()).detach().clone()),
    )
    expected = seen[0]
    for n, weight in enumerate(seen[1:], start=1):
        decay = min(0.9, (1 + n) / (10 + n))
        expected = decay * expected + (1 - decay) * weight
    torch.testing.assert_close(next(run.average.parameters()), expected)


def test_the_papers_schedule_halves_and_the_cosine_falls_to_a_tenth():
    paper = TrainingConfig()
    rates = [paper.learning_rate_at(step) for step in (0, 499, 500, 2999)]
    assert rates == [4e-4, 4e-4, 2e-4, 4e-4 / 32]
    cosine = TrainingConfig(schedule="cosine", steps=100, learning_rate=1.0)
    assert cosine.learning_rate_at(0) == 1
    assert cosine.learning_rate_at(50) == pytest.approx(0.55)
    assert cosine.learning_rate_at(100) == pytest.approx(0.1)


def test_training_lowers_the_loss_on_a_blurred_image():
    yy, xx = np.mgrid[:64, :64]
    smooth = (0.5 + 0.4 * np.sin(yy / 5) * np.cos(xx / 7)).astype(np.float32)
    config = TrainingConfig(steps=60, batch_size=2, patch_size=32, learning_rate=5e-3)
    history = train(network(), smooth, PSF, config).history
    assert history["rec"][-10:].mean() < 0.3 * history["rec"][:10].mean()


def test_three_dimensions():
    volume = np.random.default_rng(0).uniform(size=(16, 20, 24))
    psf = np.ones((3, 3, 3)) / 27
    config = TrainingConfig(steps=2, batch_size=1, patch_size=16)
    run = train(UNet(n_dim=3, features=2), volume, psf, config)
    assert np.isfinite(run.history["total"]).all()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("steps", 0),
        ("batch_size", 1.5),
        ("patch_size", -4),
        ("learning_rate", float("nan")),
        ("schedule", "linear"),
        ("ema_decay", 1.0),
        ("beta2", 1.0),
        ("mask_sigma", -0.1),
        ("seed", 1.5),
        ("seed", None),
        ("seed", "a"),
        ("voxel_size", 0.1),
        ("voxel_size", (1,)),
        ("voxel_size", ("a", 1)),
        ("noise", "auto"),
        ("steps", True),
        ("padding", "mirror"),
        ("precision", "double"),
        ("mask_percent", 0),
        ("mask_percent", 45),
        ("weights", {"noise2self": 1.0}),
    ],
)
def test_impossible_settings_name_their_field(field, value):
    with pytest.raises(ValueError, match=f"^{field}: expected"):
        TrainingConfig(**{field: value})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image": np.full((48, 48), 0.5)}, "every pixel is 0.5"),
        ({"psf": np.ones((3, 3, 3))}, "expected 2 axes, as the image has"),
    ],
)
def test_inputs_that_cannot_be_trained_on(changes, message):
    inputs = {"image": image(), "psf": PSF, **changes}
    with pytest.raises(ValueError, match=message):
        train(network(), config=TINY, **inputs)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (lambda: torch.nn.Conv2d(1, 2, 3, padding=1), r"an output of .*, got \(2, 2, 32, 32\)"),
        (lambda: torch.nn.Conv2d(1, 1, 3), r"an output of shape \(2, 1, 32, 32\), got"),
        (lambda: network().double(), "weights in float32, got some in float64; model.float"),
    ],
)
def test_networks_that_cannot_be_trained(model, message):
    """Two channels were trained by broadcasting, and the first of them was the estimate."""
    with pytest.raises(ValueError, match=f"^model: expected {message}"):
        train(model(), image(), PSF, TINY)


def test_known_noise_puts_its_mean_into_the_loss():
    """With clipping known, the reconstruction loss of the very first step is that of m(g(f(x)))."""
    noise = Noise(gaussian=0.2)
    weights = LossWeights(lambda_rec=1.0)
    run = begin(dataclasses.replace(TINY, weights=weights, noise=noise, precision="float32"))
    x = run.patches()
    with torch.no_grad():
        got = run.terms(run.model, x)["rec"].item()
        f = run.model(x) * run.std + run.mean
    expected = noise.mean(PSFConvolution(PSF, padding="valid")(f).numpy())
    measured = (x * run.std + run.mean)[..., 1:-1, 1:-1].numpy()
    assert got == pytest.approx(np.mean((expected - measured) ** 2) / run.std**2, rel=1e-4)


@pytest.mark.parametrize("method", [Noise2Self, Noise2Same, Noise2SameD])
def test_the_papers_network_normalises_as_the_papers(method):
    network = method.of_tier("full", 2, {}).network(2, seed=0)
    norms = [module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    assert {type(norm) for norm in norms} == {torch.nn.BatchNorm2d}


@pytest.mark.parametrize("renorm", [True, False])
def test_another_normalisation_is_an_option_and_recorded(renorm):
    result = deconvolve(image(), PSF, "noise2self", tier="test", renorm=renorm, progress=False)
    kind = {False: torch.nn.BatchNorm2d, True: BatchRenorm2d}[renorm]
    assert type(result.run.model.head[0]) is kind
    assert result.settings["renorm"] == renorm


def test_a_checkpoint_after_no_steps_is_refused(tmp_path):
    with pytest.raises(ValueError, match="checkpoint_every: expected a whole number"):
        train(network(), np.eye(40), PSF, checkpoint=tmp_path / "a", checkpoint_every=0)


def test_a_checkpoint_may_have_any_name(tmp_path):
    """torch refuses to write a file whose name begins with its only dot, as a part's did."""
    path = tmp_path / "run"
    train(network(), image(), PSF, TINY, checkpoint=path)
    assert train(network(), image(), PSF, TINY, checkpoint=path).step == TINY.steps


def test_a_training_survives_a_checkpoint_that_cannot_be_written(tmp_path, monkeypatch):
    expected = train(network(), image(), PSF, TINY)

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("siamdecon.files.atomic.os.replace", full)
    with pytest.warns(match="cannot write run.pt to .*: No space left on device; .* goes on"):
        found = train(network(), image(), PSF, TINY, checkpoint=tmp_path / "run.pt")
    assert_same(found.average, expected.average)
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_with_other_weights_is_named(tmp_path):
    path = tmp_path / "run.pt"
    train(network(), image(), PSF, TINY, checkpoint=path)
    state = torch.load(path, weights_only=True)
    state["average"] = {f"x{name}": value for name, value in state["average"].items()}
    torch.save(state, path)
    with pytest.raises(ValueError, match=r"run\.pt can't be read; delete it"):
        train(network(), image(), PSF, TINY, checkpoint=path)


def test_two_runs_do_not_share_a_checkpoint(tmp_path):
    path = tmp_path / "run.pt"
    with (
        other_process_at(path),
        pytest.raises(OSError, match=r"checkpoint: .*run\.pt is being writ"),
    ):
        train(network(), image(), PSF, TINY, checkpoint=path)


@pytest.mark.parametrize("shape", [(3, 40), (8, 8), (3, 40, 40)])
def test_an_image_too_small_for_the_network_is_refused(shape):
    psf = np.ones((3,) * len(shape)) / 3 ** len(shape)
    small = np.random.default_rng(0).uniform(size=shape)
    with pytest.raises(ValueError, match="image: expected 16 or more pixels along y and x"):
        train(UNet(len(shape), features=2), small, psf, TINY)
