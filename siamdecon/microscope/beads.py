"""A measured point-spread function: the average of isolated beads in an image."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np
from scipy.ndimage import gaussian_filter, maximum_filter, median_filter, shift

from siamdecon.expect import NO_ZEROS, Words, expect, is_number, is_whole, warn
from siamdecon.hardware import as_array
from siamdecon.microscope.camera import SHARPEST, filled, standing_out
from siamdecon.microscope.kernel import BRIGHT_BORDER, centered, rim, without_background

#: A peak this many times the noise above the background is a bead.
_STANDS_OUT = 8.0
#: So many pixels of a bead with the image's highest value: it is saturated.
_PLATEAU = 4


@dataclass(frozen=True)
class BeadPSF:
    """A kernel measured from beads; usable wherever a kernel is.

    Attributes
    ----------
    psf : ndarray of float64, shape ([z,] y, x)
        With sum 1 and odd sides, centred on its light.
    found, used : int
        Numbers of peaks, and of isolated ones away from the border and like each other, which were averaged.
    spread : float
        How much the beads differ: the root mean square difference from the average, in units of its peak.
    fwhm : tuple of float
        Full width at half maximum along each axis, in pixels.
    voxel_size : tuple of (float or None), optional
        um along each axis.

    Examples
    --------
    >>> kernel = BeadPSF(np.ones((3, 3)) / 9, 5, 4, 0.02, (2.0, 2.1), (0.1, 0.1))
    >>> print(kernel)
    4 of 5 beads, spread 2 % of the peak, 3 x 3 pixels, full width at half maximum 0.20 x 0.21 um
    """

    psf: np.ndarray
    found: int
    used: int
    spread: float
    fwhm: tuple[float, ...]
    voxel_size: Sequence[float | None] | None = None

    def __array__(self, dtype=None, copy=None):
        if copy is None:  # "if needed" in NumPy 2; NumPy 1 does not accept None
            return np.asarray(self.psf, dtype=dtype)
        return np.array(self.psf, dtype=dtype, copy=copy)

    def __str__(self):
        known = self.voxel_size is not None and None not in self.voxel_size
        sizes = self.voxel_size if known else (1,) * len(self.fwhm)
        widths = " x ".join(f"{w * s:.2f}" for w, s in zip(self.fwhm, sizes, strict=True))
        shape = " x ".join(map(str, self.psf.shape))
        return (
            f"{self.used} of {self.found} beads, spread {self.spread:.0%} of the peak, {shape} pixels, "
            f"full width at half maximum {widths} {'um' if known else 'pixels'}"
        ).replace("%", " %")


def psf_from_beads(
    image: np.ndarray, *, size: int | Sequence[int] | None = None, share: float = 0.99
) -> BeadPSF:
    """Measure the kernel in an image of beads smaller than the resolution.

    Peaks are found; those that lie alone are cut out, aligned to a fraction of a pixel by cross-correlation
    and averaged; the background is taken off, and the kernel is cut to hold most of its light.

    Parameters
    ----------
    image : ndarray or Image, shape ([z,] y, x)
        Beads, at least a kernel's width apart.
    size : int or sequence of int, optional
        Pixels cut out around each bead, along every axis or each; a bead is alone if no other lies within.
        Unless given, as many as leave most beads alone, up to 65.
    share : float
        Of the light, how much the kernel keeps.

    Returns
    -------
    BeadPSF

    Raises
    ------
    ValueError
        If there is no bead, or none that is alone, or `size` or `share` is out of range.

    Examples
    --------
    >>> yx = np.mgrid[:64, :64]
    >>> beads = sum(np.exp(-((yx[0] - y) ** 2 + (yx[1] - x) ** 2) / 8) for y, x in ((16.3, 20), (44, 42.6)))
    >>> kernel = psf_from_beads(100 + 1000 * beads)
    >>> kernel.used, [round(w, 1) for w in kernel.fwhm]
    (2, [4.7, 4.7])
    """
    voxel_size = getattr(image, "voxel_size", None)
    image = as_array(image)
    step, image = float(image.dtype.kind in "bui"), image.astype(np.float64)
    shape = Words(f"shape {image.shape}")
    expect(image.ndim in (2, 3), "image", "beads (y, x) or (z, y, x)", shape)
    each = (size,) * image.ndim if np.ndim(size) == 0 else tuple(size)
    good = len(each) == image.ndim and all(is_whole(n) and n >= 3 for n in each)
    wanted = f"a whole number of 3 or more, or {image.ndim} of them"
    expect(size is None or good, "size", wanted, size)
    good = is_number(share) and 0 < share <= 1
    expect(good, "share", "a share of the light, up to 1", share)
    expect(np.isfinite(image).all(), "image", "finite values", Words("NaN or infinity"), NO_ZEROS)
    if (none := filled(image)) is not None:
        image[none] = np.median(image[~none])
    defects, instead = standing_out(image, SHARPEST, step)
    mended, near = image.copy(), np.zeros(image.shape, bool)
    mended[defects], near[defects] = instead, True
    flat = mended - _background(mended)
    places = _peaks(flat)
    near = maximum_filter(near, (1,) * (image.ndim - 2) + (3, 3))[tuple(places.T)]
    if near.size and near.sum() <= max(1, near.size / 5):
        image = mended
    elif instead.size:  # where several beads have a defect in their middle, it is none
        flat = image - _background(image)
        places = _peaks(flat)
        sharp = "beads are as sharp as a defective pixel, which makes the kernel too wide"
        warn(f"image: {sharp}; give one with smaller pixels")
    highest = image.max()
    top = image == highest
    image = flat
    mend = "is this an image of beads? Give one with beads brighter than its noise"
    expect(len(places) > 0, "image", "beads", Words("none that stands out from the noise"), mend)
    sides = _sides(image.shape, places) if size is None else np.array(each) // 2 * 2 + 1
    alone = _alone(places, sides, image.shape)
    got = Words(f"{len(places)}, none alone within {' x '.join(map(str, sides))} pixels")
    mend = "give a smaller size, or an image with fewer beads"
    apart = "beads that lie apart from each other and from the border"
    expect(alone.any(), "image", apart, got, mend)
    near = _cuts(top, places, (5,) * image.ndim)
    saturated = np.array([cut.sum() >= _PLATEAU for cut in near])
    if (alone & saturated).any():
        good = alone & ~saturated
        what = "left out" if good.any() else "the kernel is too wide; expose less"
        found = (
            f"{saturated.sum()} of {len(places)} beads reach {highest:.6g}, as saturated ones do"
        )
        warn(f"image: {found}: {what}")
        alone = good if good.any() else alone
    middle = tuple(slice(max(n // 2 - 2, 0), n // 2 + 3) for n in sides)
    cuts = [cut / cut[middle].max() for cut in _cuts(image, places[alone], sides)]
    others = [~_nearest(places, place, sides) for place in places[alone]]
    # another bead's light, where there is enough of it to be taken for this one's
    masks = [o & (cut[o].max(initial=0) > 0.1) for o, cut in zip(others, cuts, strict=True)]
    cuts = np.ma.array(cuts, mask=masks)
    average = np.ma.median(np.ma.array(cuts), axis=0)
    for _ in range(2):  # the first average is blurred by what has not been aligned yet
        aligned = np.ma.array([_aligned(average, cut) for cut in cuts])
        away = [difference.std() for difference in aligned - np.ma.median(aligned, axis=0)]
        # a bead with a dim one beside it, or aligned to that, is unlike the others
        aligned = aligned[away <= 3 * np.median(away)]
        average = aligned.mean(axis=0)
    spread = float(np.sqrt(np.mean((aligned - average) ** 2)) / average.max())
    window = _where_seen(average)
    average = average.filled(np.nan)[window]  # NaN where no bead was seen
    inside = np.any(_cuts(np.ones(image.shape, bool), places[alone], sides), axis=0)[window]
    _say_if_cut(np.where(inside, average, np.nan))
    psf = _cropped(centered(without_background(average)), share)
    return BeadPSF(psf, len(places), len(aligned), spread, fwhm(psf), voxel_size)


def _background(image: np.ndarray) -> np.ndarray:
    """Fit the background by a polynomial of second order, beads left out."""
    if not np.ptp(image):
        return image
    axes = np.meshgrid(*(np.linspace(-1, 1, n) for n in image.shape), indexing="ij", sparse=True)
    terms = [np.ones(()), *axes, *(a * b for a, b in combinations_with_replacement(axes, 2))]
    every = tuple(slice(None, None, max(1, n // 64)) for n in image.shape)
    values = image[every].ravel()
    rows = np.stack([np.broadcast_to(t, image.shape)[every].ravel() for t in terms], axis=1)
    rest = values - np.median(values)
    for _ in range(10):
        kept = rest <= 2 * np.median(np.abs(rest)) / 0.6745
        factors = np.linalg.lstsq(rows[kept], values[kept])[0]
        rest = values - rows @ factors
    return sum(factor * term for factor, term in zip(factors, terms, strict=True))


def _peaks(image: np.ndarray) -> np.ndarray:
    """Return the places of peaks on a background of 0, shape (n, n_dim), brightest first."""
    from skimage.feature import peak_local_max  # imported here: slow, and few runs need it

    # a median first: what is left of a defective pixel is no bead
    plane = (1,) * (image.ndim - 2) + (3, 3)
    smooth = gaussian_filter(median_filter(image, plane), 1.0)
    below = smooth[smooth < 0]  # beads lie above
    noise = np.sqrt(np.mean(below**2)) if below.any() else 1e-6 * np.ptp(smooth)
    least = max(_STANDS_OUT * noise, 0.1 * smooth.max())
    peaks = peak_local_max(smooth, min_distance=2, threshold_abs=least, exclude_border=False)
    if len(peaks) < 3:
        others = peak_local_max(smooth, 16, _STANDS_OUT * noise, exclude_border=False)
        if len(others) - len(peaks) >= 3:
            left = f"{len(others) - len(peaks)} others have less than a tenth of that brightness"
            mend = "if those are clumps, cut them off"
            warn(f"image: only {len(peaks)} of its peaks are used, as {left}: {mend}")
    # brightest first; a ring around a bead is no bead
    return peaks[np.argsort(-smooth[tuple(peaks.T)], kind="stable")]


def _sides(shape: tuple[int, ...], places: np.ndarray) -> np.ndarray:
    """Return the largest odd sides up to 65 that leave enough of the beads alone, or the most.

    Three quarters, or half if that is eight or more: a kernel cut short is worse than a noisy one.
    """
    counts, enough = {}, min(0.75 * len(places), max(0.5 * len(places), 8))
    for side in range(65, 6, -2):
        sides = np.array([min(side, n - (n + 1) % 2) for n in shape])
        counts[tuple(sides)] = np.count_nonzero(_alone(places, sides, shape))
        if counts[tuple(sides)] >= enough:
            return sides
    return np.array(max(counts, key=counts.get))


def _alone(places: np.ndarray, sides: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Tell which beads have no other within their sides, and lie as far from the border in the plane.

    Of a stack, those that lie less than half as deep in it as the deepest are left out.
    """
    near = (np.abs(places[:, None] - places[None]) <= sides // 2).all(axis=-1)  # (n, n)
    inside = ((places >= sides // 2) & (places < np.array(shape) - sides // 2))[:, -2:].all(axis=-1)
    alone = (near.sum(axis=1) == 1) & inside
    depth = np.minimum(places, np.array(shape) - 1 - places)[:, :-2].min(axis=1, initial=max(shape))
    return alone & (depth >= depth[alone].max(initial=0) / 2)


def _nearest(places: np.ndarray, place: np.ndarray, sides) -> np.ndarray:
    """Tell which pixels around a bead are no nearer to another: what lies there is the other's light."""
    grid = np.ogrid[tuple(slice(-(n // 2), n // 2 + 1) for n in sides)]
    nearest = np.ones(sides, bool)
    for off in places - place:
        if off.any() and (np.abs(off) < sides).all():
            nearest &= sum(g * o for g, o in zip(grid, off, strict=True)) <= off @ off / 2
    return nearest


def _cuts(image: np.ndarray, places: np.ndarray, sides) -> list[np.ndarray]:
    """Cut beads out; where the border lies near, what is beyond is dark."""
    padded = np.pad(image, [(n // 2, n // 2) for n in sides])
    around = [tuple(map(slice, place, place + sides)) for place in places]
    return [padded[window] for window in around]


def _aligned(average: np.ma.MaskedArray, cut: np.ma.MaskedArray) -> np.ma.MaskedArray:
    from skimage.registration import phase_cross_correlation  # imported here: slow

    both = (average.filled(0), cut.filled(0))  # the background is 0
    moved, *_ = phase_cross_correlation(*both, upsample_factor=20, normalization=None)
    hidden = shift(np.ma.getmaskarray(cut).astype(float), moved, order=1, mode="nearest") > 0.5
    return np.ma.array(shift(both[1], moved, order=3, mode="nearest"), mask=hidden)


def _where_seen(average: np.ma.MaskedArray) -> tuple[slice, ...]:
    """Return the window around the centre of an average in which some bead was seen."""
    seen = np.argwhere(~np.ma.getmaskarray(average))
    middle = np.array(average.shape) // 2
    half = np.abs(seen - middle).max(axis=0)
    return tuple(map(slice, middle - half, middle + half + 1))


def _say_if_cut(average: np.ndarray) -> None:
    """Warn of a kernel, NaN beyond the image, that goes on beyond its border, or the ends of one axis."""
    peak = np.nanmax(average)
    if (end := np.nanmedian(rim(average)) / peak) > BRIGHT_BORDER:
        lost = (
            f"beads are cut out where they have {end:.0%} of their peak: the kernel is too narrow"
        )
        mend = "give a larger size, or beads further from each other and the border"
        warn(f"image: {lost}; {mend}")
    seen = np.where(np.isnan(average), -np.inf, average / peak)
    for axis, name in enumerate("zyx"[-average.ndim :]):
        line = seen.max(axis=tuple(a for a in range(average.ndim) if a != axis))
        line = line[np.isfinite(line)]  # a stack may end on one side
        if (end := max(line[0], line[-1])) > 0.5:
            lost = f"beads end along {name} where they have {end:.0%} of their peak"
            mend = "take more planes" if name == "z" else "give a larger size"
            warn(f"image: {lost}: the kernel's width there is a lower bound; {mend}")


def _cropped(psf: np.ndarray, share: float) -> np.ndarray:
    """Cut a kernel around its centre, each axis as short as keeps its share of the light."""
    kept = []
    for axis, n in enumerate(psf.shape):
        profile = psf.sum(axis=tuple(a for a in range(psf.ndim) if a != axis))
        distance = np.abs(np.arange(n) - n // 2)
        inside = np.cumsum(np.bincount(distance, profile)) / profile.sum()
        half = min(int(np.searchsorted(inside, share ** (1 / psf.ndim))), (n - 1) // 2)
        kept.append(slice(n // 2 - half, n // 2 + half + 1))
    psf = psf[tuple(kept)]
    return psf / psf.sum()


def fwhm(psf: np.ndarray) -> tuple[float, ...]:
    """Return the full width at half maximum along each axis through the brightest pixel, in pixels.

    Examples
    --------
    >>> fwhm(np.array([[0.0, 1.0, 2.0, 1.0, 0.0]]))[1]
    2.0
    """
    widths, top = [], np.unravel_index(psf.argmax(), psf.shape)
    for axis in range(psf.ndim):
        line = psf[(*top[:axis], slice(None), *top[axis + 1 :])] / psf.max()
        fine = np.linspace(0, len(line) - 1, 20 * (len(line) - 1) + 1)
        above = fine[np.interp(fine, np.arange(len(line)), line) >= 0.5]
        widths.append(float(above[-1] - above[0]))
    return tuple(widths)
