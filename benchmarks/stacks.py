"""Stacks as microscopes deliver them: few planes far apart, photon counts, a camera with an offset."""

import numpy as np

from siamdecon import (
    PAPER_3D,
    Microscope,
    affine_score,
    deconvolve,
    degrade,
    paper_psf,
    richardson_lucy,
)
from siamdecon.files import Image, microtubules
from siamdecon.microscope import blur, gibson_lanni

#: The planes lie this many pixels apart.
STEP = 3
PIXEL = 0.406
#: Lucy-Richardson uses the best of these for each stack, chosen with the clean one.
ITERATIONS = 20
METHODS = {
    "median + Lucy-Richardson, n = 5": ("richardson_lucy", {"prefilter": "median"}),
    "total variation, clipping modelled": ("total_variation", {"noise": "auto"}),
    "Noise2Same, bound 0.1": ("noise2same", {}),
    "own coarser scales": ("self_scale", {}),
}


def photons(blurred: np.ndarray, peak: float, rng: np.random.Generator) -> np.ndarray:
    """Count photons, `peak` of them where it is brightest."""
    return rng.poisson(peak * blurred / blurred.max()).astype(np.uint16)


def camera(blurred: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Count up to 100 photons on a background of 5; two grey levels each, read noise, an offset of 100."""
    counts = rng.poisson(100 * blurred / blurred.max() + 5)
    return np.round(100 + 2 * counts + rng.normal(0, 3, counts.shape)).astype(np.uint16)


#: Number of planes, and how a blurred stack is measured; None for the paper's noise.
CASES = {
    "32 planes": (32, None),
    "16 planes": (16, None),
    "8 planes": (8, None),
    "16 planes, 100 photons": (16, lambda x, rng: photons(x, 100, rng)),
    "16 planes, 10 photons": (16, lambda x, rng: photons(x, 10, rng)),
    "16 planes, camera with an offset": (16, camera),
}


def restored(planes: int, camera) -> dict:
    """Return what the methods gain over a flat estimate, up to contrast, in dB."""
    fine, every = microtubules((STEP * planes, 160, 160)), slice(STEP // 2, None, STEP)
    clean, rng = fine[every], np.random.default_rng(0)
    if camera is None:
        noisy, limits = degrade(fine, paper_psf(3), PAPER_3D)[every], (0, 1)
    else:
        noisy, limits = camera(blur(fine, paper_psf(3))[every].clip(0), rng), None
    # the planes of the fine kernel that are seen, with the middle one at the same depth
    psf = gibson_lanni(Microscope(z_step=STEP * PIXEL, planes=7, defocus=0.203), 3)
    stack = Image(np.ascontiguousarray(noisy), "ZYX", (STEP * PIXEL, PIXEL, PIXEL))
    tries, (low, high) = [], (noisy.min(), noisy.max())
    unit = (stack.data - float(low)) / (float(high) - float(low))

    def gain(estimate):
        scores = affine_score(clean, estimate)
        return scores["psnr"] - scores["floor"]

    richardson_lucy(unit, psf, ITERATIONS, clip=False, callback=lambda _, x: tries.append(gain(x)))
    found = {"measured": gain(noisy), "Lucy-Richardson, best": max(tries)}
    for title, (method, options) in METHODS.items():
        result = deconvolve(stack, psf, method, limits=limits, progress=False, **options)
        found[title] = gain(result.image)
    return found


def measure(args) -> dict:
    """Restore each stack by each method; print and return what they gain."""
    results = {}
    for case, (planes, camera) in CASES.items():
        results[case] = restored(planes, camera)
        figures = ", ".join(f"{name} {value:+.2f}" for name, value in results[case].items())
        print(f"{case}: {figures}", flush=True)
    return results
