"""The course's explorers: optics, noise, iterations, and the lambdas."""

import itertools

import numpy as np
from skimage.metrics import peak_signal_noise_ratio

from siamdecon.classical import richardson_lucy
from siamdecon.coarser_scales import downsample
from siamdecon.datasets import load_sample
from siamdecon.degradation import PAPER_2D, Noise, blur, degrade, residual
from siamdecon.lab.axes import Axes
from siamdecon.lab.explorer import Explorer
from siamdecon.lab.frames import Frame, compress
from siamdecon.lab.lambdas import LambdaExplorer
from siamdecon.microscope import Microscope
from siamdecon.psf import gibson_lanni, paper_psf
from siamdecon.spectra import radial_power

__all__ = [
    "LambdaExplorer",
    "iterations_explorer",
    "noise_explorer",
    "optics_explorer",
    "scales_explorer",
    "slices_explorer",
]

_CROP = (slice(176, 304), slice(176, 304))


def optics_explorer() -> Explorer:
    """Return an explorer of the optics: the kernel, what it does to an image, and what it passes.

    Examples
    --------
    Introduced in notebook 01.

    >>> optics_explorer().frame.text
    'NA 0.8, wavelength 0.6 um, index 1.33, pixel 0.406 um, defocus 3 um: ...'
    """
    clean = load_sample("histology")
    size = 33
    around = tuple(slice(part.start - size // 2, part.stop + size // 2) for part in _CROP)
    inside = (slice(size // 2, -(size // 2)),) * 2
    frequency = np.fft.rfftfreq(256)[:65]  # up to 0.25 cycles a pixel

    def frame(na, wavelength, index, pixel_size, defocus) -> Frame:
        optics = (
            f"NA {na:g}, wavelength {wavelength:g} um, index {index:g}, pixel {pixel_size:g} um, "
            f"defocus {defocus:g} um"
        )
        if na >= index:
            nothing = compress([np.ones((128, 128)), np.ones((128, 128))])
            text = (
                f"{optics}: no such objective; the NA, index times a sine, stays below the index."
            )
            return Frame(nothing, text, {"|F(k)|": [0.0] * len(frequency)})
        psf = gibson_lanni(
            Microscope(na, wavelength, index, pixel_size, size=size, defocus=defocus)
        )
        passed = np.abs(np.fft.rfft(psf.sum(axis=0), 256))[:65]
        offset = np.hypot(*np.mgrid[: 2 * size : 2, : 2 * size : 2] / 2 - size // 2)
        radius = np.sqrt((psf * offset**2).sum())
        shown = np.pad(np.sqrt(psf / psf.max()), 1)  # a root, since the outer rings are faint
        shown = np.kron(shown, np.ones((4, 4)))[4:132, 4:132]
        text = (
            f"{optics}: the brightest pixel gets {100 * psf.max():.0f} % of the light, "
            f"rms radius {radius:.1f} pixels."
        )
        return Frame(
            compress([shown, blur(clean[around], psf)[inside]]), text, {"|F(k)|": passed.tolist()}
        )

    return Explorer(
        "The kernel (square root, 33 pixels wide), and an image behind it",
        {
            "na": (0.3, 0.5, 0.8, 1.0, 1.2),
            "wavelength": (0.45, 0.52, 0.6, 0.7),
            "index": (1.0, 1.33, 1.518),
            "pixel_size": (0.1, 0.2, 0.406),
            "defocus": (0.0, 0.5, 1.0, 2.0, 3.0),
        },
        frame,
        start={"na": 0.8, "wavelength": 0.6, "index": 1.33, "pixel_size": 0.406, "defocus": 3.0},
        titles={
            "na": "NA",
            "wavelength": "wavelength (µm)",
            "index": "refractive index",
            "pixel_size": "pixel size (µm)",
            "defocus": "defocus (µm)",
        },
        axes=Axes(tuple(frequency), "spatial frequency (cycles per pixel)", "passed", (0, 1)),
        static={
            "na": (0.3, 0.8, 1.2),
            "wavelength": (0.45, 0.6),
            "index": (1.0, 1.33),
            "pixel_size": (0.2, 0.406),
            "defocus": (0.0, 1.0, 2.0, 3.0),
        },
    )


def noise_explorer() -> Explorer:
    """Return an explorer of the noise: the measurement, and its mean against the noise-free value.

    Examples
    --------
    Introduced in notebook 01.

    >>> explorer = noise_explorer()
    >>> explorer.set(clip=True, gaussian=0.2)
    >>> explorer.frame.text
    'Gaussian 0.2, Poisson 0.001, impulses 0 %, clipped: a black pixel measures 0.080 on average.'
    """
    clean, psf = load_sample("histology"), paper_psf(2)
    blurred = blur(clean, psf)
    level = np.linspace(0, 1, 21)

    def frame(gaussian, poisson, salt_and_pepper, clip) -> Frame:
        noise = Noise(poisson, gaussian, salt_and_pepper, clip=clip)
        noisy = degrade(clean, psf, noise)
        expected = noise.mean(level)
        text = (
            f"Gaussian {gaussian:g}, Poisson {poisson:g}, impulses {100 * salt_and_pepper:g} %, "
            f"{'clipped' if clip else 'not clipped'}: a black pixel measures {expected[0]:.3f} on average."
        )
        curves = {"mean measured": expected.tolist(), "noise-free": level.tolist()}
        # what clipping cuts off lies outside [0, 1], so the grey window is wider
        shown = [(image[_CROP] + 0.25) / 1.5 for image in (blurred, noisy)]
        return Frame(compress(shown), text, curves)

    return Explorer(
        "Blurred, and with noise, from -0.25 (black) to 1.25 (white)",
        {
            "gaussian": (0.0, 0.05, 0.1, 0.2),
            "poisson": (0.0, 0.001, 0.05),
            "salt_and_pepper": (0.0, 0.01, 0.1),
            "clip": (True, False),
        },
        frame,
        start={"gaussian": 0.1, "poisson": 0.001},
        titles={
            "gaussian": "Gaussian σ",
            "poisson": "Poisson α",
            "salt_and_pepper": "share of impulses",
            "clip": "clipped to [0, 1]",
        },
        axes=Axes(tuple(level), "value without noise", "mean", (0, 1)),
    )


def iterations_explorer() -> Explorer:
    """Return an explorer of Lucy-Richardson: the estimate and its residual, iteration by iteration.

    Examples
    --------
    Introduced in notebook 02.

    >>> explorer = iterations_explorer()
    >>> explorer.set(iterations=5, start="mean", prefilter="median")
    >>> explorer.frame.text
    'iteration 5 from the mean, median filter first: PSNR 2... dB'
    """
    shown = (1, 2, 3, 5, 7, 10, 15, 20, 30, 50)
    square = (slice(128, 384), slice(128, 384))
    clean, psf = load_sample("histology")[square], paper_psf(2)
    noisy = degrade(clean, psf, PAPER_2D)
    part = (slice(64, 192), slice(64, 192))
    frames = {}
    for start, prefilter in itertools.product(("mean", "image"), ("none", "median")):
        kept, psnr = {}, [0.0] * max(shown)

        def keep(i, estimate, kept=kept, psnr=psnr):
            psnr[i - 1] = peak_signal_noise_ratio(clean, estimate, data_range=1)
            if i in shown:
                kept[i] = estimate

        richardson_lucy(
            noisy,
            psf,
            max(shown),
            start=start,
            prefilter=None if prefilter == "none" else prefilter,
            callback=keep,
        )
        for i, estimate in kept.items():
            rest = residual(estimate, noisy, psf)[part] / 0.6 + 0.5
            first = "median filter first" if prefilter == "median" else "no filter"
            text = f"iteration {i} from the {start}, {first}: PSNR {psnr[i - 1]:.2f} dB"
            # a step down from the value to the floor marks where the slider stands
            curves = {"PSNR": psnr, "here": [psnr[i - 1] if k < i else 0.0 for k in range(50)]}
            frames[i, start, prefilter] = Frame(compress([estimate[part], rest]), text, curves)

    return Explorer(
        "Estimate, and residual from -0.3 (black) to 0.3 (white)",
        {"iterations": shown, "start": ("mean", "image"), "prefilter": ("none", "median")},
        lambda *at: frames[at],
        axes=Axes(tuple(range(1, 51)), "iteration", "PSNR (dB)", (10, 24)),
    )


def scales_explorer(
    image: np.ndarray, estimates: dict[str, np.ndarray], psf: np.ndarray, noise: Noise = PAPER_2D
) -> Explorer:
    """Return an explorer of coarser copies: a target, what the microscope would make of it, its detail.

    Parameters
    ----------
    image : ndarray, shape (y, x)
        The clean image, whose power the copies' is compared with.
    estimates : dict of str to ndarray, shape (y, x)
        What the copies are made of, by name.
    psf : ndarray, shape (y, x)
    noise : Noise

    Examples
    --------
    Introduced in notebook 10.

    >>> clean = load_sample("nuclei")[:128, :128]
    >>> explorer = scales_explorer(clean, {"itself": clean}, paper_psf(2))
    >>> explorer.set(scale=2)
    >>> explorer.frame.text
    'a copy of itself, 2 times smaller, 63 pixels a side: beyond 0.16 cycles per pixel it has ...'
    """
    bins, shown = 16, 64
    frequency, truth = radial_power(image, bins)
    truth = truth / image.size  # a smaller picture has less of everything
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
        "A coarser copy (the truth of a training pair), and the same degraded (what the network sees)",
        {"scale": (1, 1.5, 2, 3, 4), "source": tuple(estimates)},
        frame,
        start={"scale": 2},
        titles={"scale": "times smaller", "source": "made of"},
        axes=Axes(tuple(frequency), "cycles per pixel of its own", "log10 power", (top - 7, top)),
    )


def slices_explorer(
    clean: np.ndarray, estimates: dict[str, np.ndarray], limits: tuple[float, float] = (0, 1)
) -> Explorer:
    """Return an explorer of volumes: the same plane of each, or the mean of some planes.

    Parameters
    ----------
    clean : ndarray, shape (z, y, x)
        The truth.
    estimates : dict of str to ndarray, shape (z, y, x)
        At most three, by short names.
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
    top = 1.1 * max(max(e) for e in errors.values())

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
        {"plane": tuple(range(n)), "planes": tuple(k for k in (1, 5, n) if k <= n)},
        frame,
        start={"plane": n // 2},
        titles={"plane": "plane z", "planes": "planes averaged"},
        axes=Axes(tuple(range(n)), "plane z", "RMSE", (0, top)),
        width=880,
    )
