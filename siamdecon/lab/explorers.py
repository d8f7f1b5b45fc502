"""Explorers of what the course begins with: optics, noise, and the iterations of Lucy-Richardson."""

import itertools

import numpy as np
from skimage.metrics import peak_signal_noise_ratio

from siamdecon.files.samples import load_sample
from siamdecon.lab.axes import Axes
from siamdecon.lab.explorer import Explorer
from siamdecon.lab.frames import Frame, compress
from siamdecon.methods.classical import richardson_lucy
from siamdecon.microscope.degradation import blur, degrade, residual
from siamdecon.microscope.noise import PAPER_2D, Noise
from siamdecon.microscope.psf import Microscope, gibson_lanni, paper_psf

_CROP = (slice(176, 304), slice(176, 304))


def optics_explorer() -> Explorer:
    """Return an explorer of the optics: the kernel, an image blurred by it, and the frequencies it passes.

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
            text = f"{optics}: no such objective; the NA is the index times a sine, and so below the index."
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
        "The kernel (square root, 33 pixels wide), and an image blurred by it",
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
        # without clipping, values lie outside [0, 1], so the grey scale is wider
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
    Introduced in notebook 03.

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
            # a step down to 0 marks the slider's position
            curves = {"PSNR": psnr, "here": [psnr[i - 1] if k < i else 0.0 for k in range(50)]}
            frames[i, start, prefilter] = Frame(compress([estimate[part], rest]), text, curves)

    return Explorer(
        "Estimate, and residual from -0.3 (black) to 0.3 (white)",
        {"iterations": shown, "start": ("mean", "image"), "prefilter": ("none", "median")},
        lambda *at: frames[at],
        axes=Axes(tuple(range(1, 51)), "iteration", "PSNR (dB)", (10, 24)),
    )
