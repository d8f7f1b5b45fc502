"""What a user's kernel needs: looked at once, prepared as the user says, checked wherever it is used."""

import numpy as np
from scipy.ndimage import (
    binary_dilation,
    center_of_mass,
    gaussian_filter,
    label,
    median_filter,
    shift,
)
from torch import Tensor

from siamdecon.expect import Words, expect, warn
from siamdecon.hardware import as_array
from siamdecon.microscope.camera import SHARPEST, standing_out

#: Rounding of a transform in float32 leaves values this far below 0, in units of the maximum: log2 of
#: 2^20 pixels rounded some times each.
_ROUNDING = 64 * float(np.finfo(np.float32).eps)
#: Border of a kernel, in units of its peak, from which it is said to be cut; the paper's has 4 %.
BRIGHT_BORDER = 0.05
#: Brightest pixel of its last plane, from which a 3D kernel is said to be cut; the paper's has 5 %.
BRIGHT_END = 0.2


def check_psf(psf: np.ndarray | Tensor, n_dim: int | None = None) -> np.ndarray:
    """Return a kernel as float64 with sum 1, or say what is wrong with it.

    Parameters
    ----------
    psf : array, shape ([z,] y, x)
        The kernel; one whose sum is not 1 is normalised with a warning. Values as far below 0 as rounding
        leaves them become 0.
    n_dim : int, optional
        The number of axes that the kernel must have.

    Returns
    -------
    psf : ndarray of float64, shape ([z,] y, x)

    Raises
    ------
    ValueError
        If the kernel has another number of axes, values that are negative or not finite, or no
        positive one.

    Examples
    --------
    >>> check_psf(np.full((1, 2), 0.5))
    array([[0.5, 0.5]])
    """
    psf = _real(psf, n_dim)
    least = Words(f"a minimum of {psf.min():.3g}")
    mend = "take the background of a measured kernel off: subtract_psf_background=True, in one call"
    expect(psf.min() >= -_ROUNDING * psf.max(), "psf", "values of 0 or more", least, mend)
    psf = psf.clip(0)
    largest, mend = Words(f"{psf.max():g}"), "divide it by its maximum"
    expect(psf.max() < 1e290, "psf", "values that can be summed", largest, mend)
    total = psf.sum()
    expect(total > 0, "psf", "a positive sum", Words("a kernel that is 0 everywhere"))
    if abs(total - 1) > 1e-3:
        warn(f"psf: normalised to sum 1, it was {total:.6g}")
    return psf / total


def prepare_psf(
    psf: np.ndarray | Tensor,
    shape: tuple[int, ...],
    *,
    center: bool = False,
    subtract_background: bool = False,
) -> tuple[np.ndarray, list[str]]:
    """Look at a kernel once, before an image is restored with it, and make it fit.

    Parameters
    ----------
    psf : array, shape ([z,] y, x)
    shape : tuple of int
        The image's. A kernel that reaches further than from one end of it to the other is cropped.
    center : bool
        Move the kernel's centre of light to its centre, index n // 2 of each axis.
    subtract_background : bool
        Take off what the border shows, the background of a camera, and what does not stand out from it.

    Returns
    -------
    psf : ndarray of float64, shape ([z,] y, x), with sum 1
    findings : list of str
        What a user should know of it: light off the centre, a bright border, light cut off.

    Raises
    ------
    ValueError
        If it is no kernel (see `check_psf`), has too few planes, or its light lies at its end.

    Examples
    --------
    >>> spot = np.zeros((9, 9)); spot[4, 5] = 1
    >>> prepare_psf(spot, (64, 64))[1]
    ['its light lies +1.0 pixels off the centre along x and shifts the result; center_psf=True moves it']
    >>> int(prepare_psf(spot, (64, 64), center=True)[0].argmax()) == 4 * 9 + 4
    True
    """
    psf, findings = _without_defects(_real(psf, len(shape)))
    if subtract_background:
        psf = without_background(psf)
        psf = psf / (psf.sum() or 1)
    psf = check_psf(psf, len(shape))
    mend = (
        "such a kernel carries no light between planes; compute more of them (Microscope(planes=...)), "
        "or restore each plane on its own with a 2D kernel"
    )
    enough = psf.ndim == 2 or psf.shape[0] >= 3
    expect(enough, "psf", "3 planes or more for a volume", Words(f"shape {psf.shape}"), mend)
    if center:
        psf = centered(psf)
    level, light = _light(psf)
    axes = "zyx"[-psf.ndim :]
    mend = "move it there: center_psf=True, or numpy.fft.fftshift if its centre lies in the corner"
    for axis, by, n in zip(axes, _off_centre(light, focus=False), psf.shape, strict=True):
        found = Words(f"it {by:+.1f} pixels off along {axis} in shape {psf.shape}")
        expect(abs(by) <= n / 4, "psf", "its light around the middle", found, mend)
    # along z light is often off: a kernel out of focus, or behind a medium of another index
    far = ", ".join(
        f"{by:+.1f} pixels off the centre along {axis}"
        for axis, by in zip(axes, _off_centre(light), strict=True)
        if abs(by) > (0.75 if axis == "z" else 0.4)
    )
    shifted = f"its light lies {far} and shifts the result; center_psf=True moves it"
    findings += [shifted] * bool(far) + _border(psf, level) + _ends(light, shape)
    # from one end of the image to the other
    kept = tuple(min(n, 2 * m - 1) for n, m in zip(psf.shape, shape, strict=True))
    if kept != psf.shape:
        first = [n // 2 - k // 2 for n, k in zip(psf.shape, kept, strict=True)]
        small = psf[tuple(slice(a, a + k) for a, k in zip(first, kept, strict=True))]
        lost = f"{1 - small.sum():.1%} of its light is lost"
        findings.append(f"larger than the image, cropped from {psf.shape} to {kept}: {lost}")
        psf = small / small.sum()
    return psf, findings


def without_background(psf: np.ndarray) -> np.ndarray:
    """Take off the median of a kernel's border, and what does not stand out from the border's noise.

    Kept is the piece around the brightest pixel that, smoothed, rises above three deviations of the noise,
    over gaps as wide as those between rings.

    Parameters
    ----------
    psf : ndarray, shape ([z,] y, x)
        NaN where it is not known.

    Returns
    -------
    psf : ndarray of float64, shape as `psf`
        0 or more; its sum is as it comes.

    Examples
    --------
    >>> spot = np.full((5, 5), 9); spot[2, 2] = 99
    >>> without_background(spot)[2].tolist()
    [0.0, 0.0, 90.0, 0.0, 0.0]
    """
    above = np.asarray(psf, np.float64)
    known = np.isfinite(rim(above))
    above = np.nan_to_num(above - np.median(rim(above)[known]))
    smooth = gaussian_filter(above, 1.0, mode="nearest")
    # of |N(0, 1)|; a median would not see haze behind a third of the planes
    noise = np.quantile(np.abs(rim(smooth)[known]), 0.75) / 1.1503
    pieces, _ = label(binary_dilation(smooth > 3 * noise, iterations=2))
    return np.where(pieces == pieces.flat[above.argmax()], above.clip(0), 0)


def centered(psf: np.ndarray) -> np.ndarray:
    """Move a kernel's centre of light to index n // 2 of each axis, by cubic interpolation.

    Parameters
    ----------
    psf : ndarray, shape ([z,] y, x)

    Returns
    -------
    psf : ndarray of float64, shape as `psf`, with sum 1

    Examples
    --------
    >>> spot = np.zeros((5, 5)); spot[2, 1] = 1
    >>> np.argwhere(centered(spot) > 0.5).tolist()
    [[2, 2]]
    """
    off = np.array(_off_centre(_light(psf)[1]))
    whole = np.rint(off).astype(int)
    psf = np.roll(psf, -whole, axis=tuple(range(psf.ndim)))
    rest = np.where(np.abs(off - whole) < 0.05, 0, off - whole)
    if rest.any():
        psf = shift(psf, -rest, order=3, mode="nearest").clip(0)
    return psf / psf.sum()


def _real(psf, n_dim: int | None) -> np.ndarray:
    """Return a kernel as float64 after checking its axes and that its values are finite."""
    psf = as_array(psf, "psf")
    shape = Words(f"shape {psf.shape}")
    axes = f"{n_dim or '2 or 3'} axes" + ", as the image has" * (n_dim is not None)
    mend = "a 3D image needs a 3D kernel, and a 2D image one plane of it"
    good = psf.ndim in (2, 3) and n_dim in (None, psf.ndim)
    expect(good, "psf", axes, shape, mend if n_dim else "")
    psf = psf.astype(np.float64)
    finite = psf.size > 0 and bool(np.isfinite(psf).all())
    expect(finite, "psf", "finite values", Words(f"NaN, infinity or nothing in {psf.shape}"))
    return psf


def _without_defects(psf: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Replace pixels that stand out, away from the middle, if the light is much smoother than they are."""
    flat = median_filter(psf, (1,) * (psf.ndim - 2) + (3, 3), mode="constant")
    dark = np.median(flat)
    noise, peak = np.median(np.abs(psf - flat)), flat.max() - dark
    if peak <= 20 * noise:
        return psf, []
    where, instead = standing_out(psf, SHARPEST, step=0.02 * peak)
    rest = psf.copy()
    rest[where] = instead
    top = np.unravel_index(rest.argmax(), psf.shape)
    # what share of a pixel's light its neighbours have: 0.6 at the top of a measured spot, 0.02 at a
    # defect; in a rough kernel, as of motion, below 0.4 at the top, or above a seventh of that elsewhere
    smooth = (flat[top] - dark) / (rest[top] - dark)
    alone = (psf[where] > instead) & (smooth > 0.4)
    alone &= instead - dark < 0.15 * smooth * (psf[where] - dark)
    # the middle of rings may be as bright as a defect
    for spot in (np.unravel_index(flat.argmax(), psf.shape), center_of_mass((flat - dark).clip(0))):
        off = [np.abs(w - round(s)) for w, s in zip(where[-2:], spot[-2:], strict=True)]
        alone &= np.max(off, axis=0) > 1
    places = tuple(w[alone] for w in where)
    psf[places] = instead[alone]
    count, first = np.count_nonzero(alone), tuple(int(i[0]) for i in places if i.size)
    said = f"{count} of {psf.size} pixels stand out as defects do, the first at {first}; the median"
    return psf, [f"{said} of its neighbours takes the place of each"] * bool(count)


def rim(psf: np.ndarray) -> np.ndarray:
    """Return the pixels at which a kernel ends in its planes.

    Examples
    --------
    >>> rim(np.arange(9).reshape(3, 3)).tolist()
    [0, 1, 2, 3, 5, 6, 7, 8]
    """
    ends = np.ones(psf.shape, bool)
    ends[..., 1:-1, 1:-1] = False
    return psf[ends]


def _corners(psf: np.ndarray) -> np.ndarray:
    """Return the pixels of each plane outside the ellipse within its sides, from the inside out."""
    y, x = (np.linspace(-1, 1, n) for n in psf.shape[-2:])
    radius = np.hypot(y[:, None], x).round(9)
    outside = np.argsort(radius, axis=None, kind="stable")[np.sum(radius <= 1) :]
    return psf.reshape(*psf.shape[:-2], -1)[..., outside]


def _background(psf: np.ndarray) -> float:
    """Return the level of a kernel's corners if they are flat, as a camera's background is; 0 if not.

    Light falls off towards the corners, or ripples: of 3000 computed kernels none is as flat. What differs
    between a pixel and its mirror image is noise.
    """
    if min(psf.shape[-2:]) < 7:  # of fewer corners four parts may agree by chance
        return 0.0
    psf = psf[..., 1 - psf.shape[-2] % 2 :, 1 - psf.shape[-1] % 2 :]  # n // 2 in the middle
    corners, mirrored = _corners(psf), _corners(psf[..., ::-1, ::-1])
    level, rings = corners.mean(), [part.mean() for part in np.array_split(corners, 4, axis=-1)]
    contrast, fall = psf.max() - level, max(rings) - min(rings)
    # the means of four quarters of n values of N(0, s^2) lie within 11 s / sqrt(n), 999 times in 1000
    noise = 11 * (corners - mirrored).std() / np.sqrt(2 * corners.size)
    flat = fall < max(0.1 * min(level, 0.01 * contrast), noise)
    seen = min(level, contrast) > max(2 * noise, 1e-3 * level) and level > 0.01 * psf.mean()
    return float(level) if flat and seen else 0.0


def _light(psf: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the background of a camera, 0 if there is none, and a kernel without it."""
    level = _background(psf)
    return level, without_background(psf) if level else psf


def _border(psf: np.ndarray, level: float) -> list[str]:
    """Say what a bright border means: the background of a camera, or light cut off."""
    end, peak = np.median(rim(psf)), psf.max()
    if level:
        share = f"a background with {level / psf.mean():.0%} of all light"
        mend = "if that is the camera's, subtract_psf_background=True takes it off"
        return [f"its border is at {level / peak:.2g} of its peak, {share}; {mend}"]
    cut = f"its border is at {end / peak:.0%} of its peak: it is too small for its light"
    small = min(psf.shape[-2:]) >= 5 and BRIGHT_BORDER * peak <= end <= 0.999 * peak
    return [f"{cut}; compute or cut it larger"] * bool(small)


def _ends(psf: np.ndarray, shape: tuple[int, ...]) -> list[str]:
    """Say if a kernel of fewer planes than the image, ([z,] y, x), ends along z where it is still bright."""
    if psf.ndim == 2 or len(psf) >= shape[0] - 1:  # an even number has no middle
        return []
    end, peak = max(psf[0].max(), psf[-1].max()), psf.max()
    cut = f"its last plane has {end / peak:.0%} of its peak: it has too few planes for its light"
    return [f"{cut}; compute or cut more of them"] * bool(BRIGHT_END * peak <= end <= 0.999 * peak)


def _off_centre(psf: np.ndarray, focus: bool = True) -> list[float]:
    """Return how far from index n // 2 the light lies along each axis, in pixels.

    By the centre of mass; where the light is narrow, on a periodic axis, by the phase of its first
    harmonic: a spot that is split between both ends has its mass in the middle and lies at the end.
    Along z, of the focus, light squared: every plane of a widefield microscope has the same light.
    """
    offsets = []
    for axis, n in enumerate(psf.shape):
        light = psf**2 if focus and axis == psf.ndim - 3 else psf
        profile = light.sum(axis=tuple(a for a in range(psf.ndim) if a != axis)) / light.sum()
        place = np.arange(n) - n // 2
        harmonic = np.sum(profile * np.exp(2j * np.pi * place / n))
        narrow = n > 3 and abs(harmonic) > 0.5
        offsets.append(
            float(np.angle(harmonic) * n / (2 * np.pi) if narrow else np.sum(profile * place))
        )
    return offsets
