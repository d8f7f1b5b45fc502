"""Explorers of the learner's own results: coarser copies, and restored volumes."""

import functools

import numpy as np

from siamdecon.expect import Words, expect
from siamdecon.lab.axes import Axes
from siamdecon.lab.explorer import Explorer
from siamdecon.lab.frames import Frame, compress, labelled
from siamdecon.lab.volumes import arranged, grey_limits, highest_values, middle_planes, unpacked
from siamdecon.methods.self_scale import downsample
from siamdecon.metrics import radial_power
from siamdecon.microscope.degradation import degrade
from siamdecon.microscope.noise import PAPER_2D, Noise

#: A page holds at most this many pixels of a volume's cuts, which take about 0.2 bytes each.
_PAGE_PIXELS = 12e6
_SHOWN = ("planes", "highest values")


def scales_explorer(
    image: np.ndarray, estimates: dict[str, np.ndarray], psf: np.ndarray, noise: Noise = PAPER_2D
) -> Explorer:
    """Return an explorer of coarser copies: a target, its simulated measurement, and its detail.

    Parameters
    ----------
    image : ndarray, shape (y, x)
        The clean image, with whose power that of the copies is compared.
    estimates : dict of str to ndarray, shape (y, x)
        The images to make copies of, by name.
    psf : ndarray, shape (y, x)
    noise : Noise

    Examples
    --------
    Introduced in notebook 10.

    >>> from siamdecon import load_sample, paper_psf
    >>> clean = load_sample("nuclei")[:128, :128]
    >>> explorer = scales_explorer(clean, {"itself": clean}, paper_psf(2))
    >>> explorer.set(scale=2)
    >>> explorer.frame.text
    'a copy of itself, 2 times smaller, 63 pixels a side: beyond 0.16 cycles per pixel it has ...'
    """
    bins, shown = 16, 64
    frequency, truth = radial_power(image, bins)
    truth = truth / image.size  # a smaller image has less total power
    fine = frequency > 0.16

    def frame(scale, source) -> Frame:
        copy = downsample(estimates[source], scale, (scale / 2,) * 2)
        measured = degrade(copy.clip(0, 1), psf, noise)
        power = radial_power(copy, bins)[1] / copy.size
        share = power[fine].sum() / truth[fine].sum()
        text = (
            f"a copy of {source}, {scale:g} times smaller, {copy.shape[0]} pixels a side: beyond 0.16 cycles "
            f"per pixel it has {share:.1f} times the power of the clean image."
        )
        part = tuple(
            slice(max(0, (n - shown) // 2), max(0, (n - shown) // 2) + shown) for n in copy.shape
        )
        pictures = [
            np.pad(p[part], [(0, shown - n) for n in p[part].shape], constant_values=1)
            for p in (copy, measured)
        ]
        curves = {
            "copy": np.log10(np.maximum(power, 1e-9)).tolist(),
            "clean image": np.log10(np.maximum(truth, 1e-9)).tolist(),
        }
        return Frame(compress(pictures, size=192), text, curves)

    top = float(np.ceil(np.log10(truth.max()))) + 1
    return Explorer(
        "A coarser copy (the truth of a training pair), and the same degraded (the network's input)",
        {"scale": (1, 1.5, 2, 3, 4), "source": tuple(estimates)},
        frame,
        start={"scale": 2},
        titles={"scale": "times smaller", "source": "made from"},
        axes=Axes(tuple(frequency), "cycles per pixel of the copy", "log10 power", (top - 7, top)),
    )


def slices_explorer(
    clean: np.ndarray, estimates: dict[str, np.ndarray], limits: tuple[float, float] = (0, 1)
) -> Explorer:
    """Return an explorer of volumes: the same plane of each, or the mean of several planes.

    Parameters
    ----------
    clean : ndarray, shape (z, y, x)
        The truth.
    estimates : dict of str to ndarray, shape (z, y, x)
        At most three, with short names.
    limits : (low, high)
        Values shown black and white.

    Examples
    --------
    Introduced in notebook 09.

    >>> volume = np.zeros((4, 16, 16)); volume[2] = 0.5
    >>> explorer = slices_explorer(volume, {"nothing": 0 * volume})
    >>> explorer.set(plane=2)
    >>> explorer.frame.text
    'plane 2: RMSE of nothing 0.500'
    """
    n, (low, high) = len(clean), limits
    volumes = {"clean": clean, **estimates}
    errors = {
        name: np.sqrt(np.mean((e - clean) ** 2, axis=(1, 2))).tolist()
        for name, e in estimates.items()
    }
    top = 1.1 * max(max(e) for e in errors.values()) or 1.0  # they may equal the truth

    def frame(plane, planes) -> Frame:
        first = min(max(0, plane - planes // 2), max(0, n - planes))
        part = slice(first, first + planes)
        shown = [(v[part].mean(axis=0) - low) / (high - low) for v in volumes.values()]
        which = (
            f"plane {plane}" if planes == 1 else f"mean of planes {first} to {first + planes - 1}"
        )
        scores = ", ".join(f"{name} {errors[name][plane]:.3f}" for name in estimates)
        text = f"{which}: RMSE of {scores}" if planes == 1 else f"{which}, around plane {plane}"
        size = clean.shape[1] * max(1, round(192 / clean.shape[1]))
        return Frame(compress(shown, size=size), text, errors)

    return Explorer(
        ", ".join(volumes),
        {"plane": tuple(range(n)), "planes": tuple(sorted({k for k in (1, 5, n) if k <= n}))},
        frame,
        start={"plane": n // 2},
        titles={"plane": "plane z", "planes": "planes averaged"},
        axes=Axes(tuple(range(n)), "plane z", "RMSE", (0, top)),
        width=880,
    )


def volume_explorer(
    volumes, *, voxel_size=None, limits: tuple[float, float] | None = None
) -> Explorer:
    """Return an explorer of cuts through volumes along z, y and x, and of their maximum projections.

    Every volume is cut at the same place and shown at the true aspect, all in one grey scale. A page
    without a kernel has fewer places to cut at.

    Parameters
    ----------
    volumes : Restoration, or dict of str to ndarray, Image or Restoration, shape (z, y, x)
        Of one shape, with short names. Of a `Restoration` alone, what was measured and what was made of it.
    voxel_size : Microscope, or (z, y, x), optional
        um; that of an Image or Restoration unless given. If unknown, voxels are drawn as cubes.
    limits : (low, high), optional
        Values shown black and white; from the volumes unless given.

    Raises
    ------
    ValueError
        If the volumes are not 3D, or differ in shape or voxel size.

    Examples
    --------
    Introduced in notebook 09.

    >>> volume = np.zeros((4, 16, 16)); volume[2] = 0.5
    >>> explorer = volume_explorer({"a sheet": volume}, voxel_size=(0.9, 0.3, 0.3))
    >>> explorer.set(z=2)
    >>> explorer.frame.text
    'a sheet: plane z = 1.8 um; to its right the cut at x = 2.4 um, below it that at y = 2.4 um'
    """
    arrays, sizes = unpacked(volumes, voxel_size)
    shape = next(iter(arrays.values())).shape
    expect(len(shape) == 3, "volumes", "stacks (z, y, x)", Words(f"shape {shape}"))
    low, high = limits or grey_limits(arrays)
    steps, unit = (sizes, " um") if sizes else ((1, 1, 1), "")
    unknown = "" if sizes else "; voxels of unknown size, drawn as cubes"

    def grid(planes) -> np.ndarray:
        panels = {name: arranged(planes(v), steps, 440) for name, v in arrays.items()}
        return labelled({name: (panel - low) / (high - low) for name, panel in panels.items()})

    def drawn(planes, text) -> Frame:
        return Frame(compress([grid(planes)]), f"{', '.join(arrays)}: {text}{unknown}")

    @functools.cache  # the same wherever the volumes are cut
    def highest() -> Frame:
        text = "highest values along z; to their right along x, below them along y"
        return drawn(highest_values, text)

    def frame(z, y, x, show) -> Frame:
        if show == _SHOWN[1]:
            return highest()
        up, down, right = (f"{i * d:.4g}{unit}" for i, d in zip((z, y, x), steps, strict=True))
        text = f"plane z = {up}; to its right the cut at x = {right}, below it that at y = {down}"
        return drawn(lambda v: (v[z], v[:, y], v[:, :, x]), text)

    start = {axis: n // 2 for axis, n in zip("zyx", shape, strict=True)}
    places = _PAGE_PIXELS / 9 / grid(middle_planes).size
    few = {"z": np.linspace(0, shape[0] - 1, int(np.clip(places, 3, shape[0])), dtype=int)}
    few |= {axis: (n // 4, 3 * n // 4) for axis, n in zip("yx", shape[1:], strict=True)}
    return Explorer(
        f"{', '.join(arrays)}, from {low:.3g} (black) to {high:.3g} (white)",
        {**{axis: range(n) for axis, n in zip("zyx", shape, strict=True)}, "show": _SHOWN},
        frame,
        start=start,
        titles={"z": "plane z", "y": "cut at y", "x": "cut at x"},
        static={axis: sorted({start[axis], *map(int, few[axis])}) for axis in few},
    )
