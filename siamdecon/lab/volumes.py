"""Volumes as they lie in space: cuts and projections at the true aspect, and napari."""

import os
import sys

import numpy as np
from PIL import Image as Picture

from siamdecon.expect import Words, expect
from siamdecon.microscope.psf import Microscope


def unpacked(images, voxel_size=None) -> tuple[dict[str, np.ndarray], tuple[float, ...] | None]:
    """Return named images of one shape as arrays, and their voxel size: given, or one of theirs, or None.

    Parameters
    ----------
    images : Restoration, or dict of str to ndarray, Image or Restoration
        Of a restoration alone, what was measured and what was made of it.
    voxel_size : Microscope, or tuple of float, optional
        um along each axis, in the order of the axes.

    Raises
    ------
    ValueError
        If the images differ in shape or voxel size, or a length is not a positive number.

    Examples
    --------
    >>> from siamdecon.files import Image
    >>> arrays, sizes = unpacked({"stack": Image(np.zeros((2, 8, 8)), "ZYX", (0.6, 0.2, 0.2))})
    >>> arrays["stack"].shape, sizes
    ((2, 8, 8), (0.6, 0.2, 0.2))
    """
    if not isinstance(images, dict):
        images = {"measured": images.source, images.method: images}
    arrays = {name: np.asarray(getattr(image, "image", image)) for name, image in images.items()}
    shapes = sorted({array.shape for array in arrays.values()})
    if len(shapes) != 1:
        raise ValueError(f"images: expected one shape, got {shapes}")
    ndim = len(shapes[0])
    if voxel_size is None:
        sources = [getattr(image, "source", image) for image in images.values()]
        known = {getattr(source, "voxel_size", None) or () for source in sources}
        known = sorted(sizes for sizes in known if sizes and all(sizes))
        got, mend = Words(" and ".join(map(str, known))), "say which: voxel_size=(z, y, x) in um"
        expect(len(known) < 2, "images", "one voxel size", got, mend)
        return arrays, known[0] if known else None
    if isinstance(voxel_size, Microscope):
        voxel_size = (voxel_size.z_step, voxel_size.pixel_size, voxel_size.pixel_size)[-ndim:]
    sizes = np.asarray(voxel_size, dtype=np.float64)
    good = sizes.shape == (ndim,) and np.isfinite(sizes).all() and (sizes > 0).all()
    expect(good, "voxel_size", f"{ndim} lengths in um, ({', '.join('zyx'[-ndim:])})", voxel_size)
    return arrays, tuple(sizes.tolist())


def grey_limits(arrays: dict[str, np.ndarray]) -> tuple[float, float]:
    """Return one grey scale for all: it holds 99.8 % or more of each image's values.

    Examples
    --------
    >>> grey_limits({"black": np.zeros(9), "white": np.ones(9)})
    (0.0, 1.0)
    """
    # an odd step, since an even one may meet the same columns in every row; a mask has no percentiles
    samples = [1 * array.ravel()[:: array.size // 10**6 | 1] for array in arrays.values()]
    ends = np.array([np.percentile(sample, (0.1, 99.9)) for sample in samples])
    low, high = float(ends[:, 0].min()), float(ends[:, 1].max())
    return (low, high) if high > low else (low, low + 1)


def arranged(planes, voxel_size=None, largest: int = 1024) -> np.ndarray:
    """Arrange three planes of a volume as they meet in space, at the true aspect.

    Parameters
    ----------
    planes : (along_z, along_y, along_x) of ndarray, shapes (y, x), (z, x), (z, y)
    voxel_size : (z, y, x), optional
        um; voxels are drawn as cubes, one a pixel, unless given.
    largest : int
        Side in pixels beyond which a picture with a voxel size is drawn smaller.

    Returns
    -------
    ndarray, shape (y + z + 3, x + z + 2) if voxels are cubes
        (y, x), to its right (y, z), below it (z, x); NaN between them.
    """
    along_z, along_y, along_x = planes
    if voxel_size:
        shape = np.array((len(along_y), *along_z.shape)) * voxel_size  # um
        pixel = max(min(voxel_size), (shape[0] + shape[1:].max()) / largest)
        z, y, x = (max(1, round(length / pixel)) for length in shape)
        along_z, along_y = _resized(along_z, y, x), _resized(along_y, z, x)
        along_x = _resized(along_x, z, y)
    (y, x), z = along_z.shape, len(along_y)
    block = np.full((y + z + 3, x + z + 2), np.nan)
    block[:y, :x], block[:y, x + 2 :], block[y + 2 : -1, :x] = along_z, along_x.T, along_y
    return block


def _resized(plane: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Repeat pixels, or average them where a picture becomes smaller."""
    if plane.shape == (rows, columns):
        return plane
    picture = Picture.fromarray(np.ascontiguousarray(plane, dtype=np.float32))
    return np.asarray(picture.resize((columns, rows), Picture.Resampling.BOX))


def middle_planes(volume: np.ndarray) -> list[np.ndarray]:
    """Return the middle planes along z, y and x."""
    return [np.take(volume, n // 2, axis) for axis, n in enumerate(volume.shape)]


def highest_values(volume: np.ndarray) -> list[np.ndarray]:
    """Return the maximum projections along z, y and x."""
    return [volume.max(axis) for axis in range(3)]


def open_in_napari(images, *, voxel_size=None, limits: tuple[float, float] | None = None):
    """Open images as layers of napari, side by side, at the true aspect and in one grey scale.

    A notebook and IPython go on; a script waits until the window is closed.

    Parameters
    ----------
    images : Restoration, or dict of str to ndarray, Image or Restoration, shape ([z,] y, x)
        Of one shape. Of a `Restoration` alone, what was measured and what was made of it.
    voxel_size : Microscope, or tuple of float, optional
        um along each axis; that of an Image or Restoration unless given. If it is unknown, voxels are drawn
        as cubes.
    limits : (low, high), optional
        Values shown black and white in every layer; from the images unless given.

    Returns
    -------
    napari.Viewer

    Raises
    ------
    ImportError
        If napari or a Qt is missing; both come with the extra `view`.
    RuntimeError
        If there is no screen to open a window on.
    ValueError
        If the images differ in shape or voxel size.

    Examples
    --------
    >>> from siamdecon import deconvolve, read_image
    >>> stack = read_image("stack.tif")                                              # doctest: +SKIP
    >>> viewer = open_in_napari(deconvolve(stack, read_image("psf.tif")))            # doctest: +SKIP
    """
    arrays, sizes = unpacked(images, voxel_size)
    try:
        import napari
        import qtpy.QtWidgets  # noqa: F401 - fails where no Qt is installed
    except ImportError as error:
        mend = 'pip install "siamdecon[view]"'
        raise ImportError(f"napari: expected it and a Qt, got: {error}; {mend}") from error
    screens = ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")
    if sys.platform == "linux" and not any(map(os.environ.get, screens)):
        mend = "volume_explorer shows volumes in the notebook"  # Qt would end the kernel
        raise RuntimeError(f"napari: expected a screen, got no DISPLAY; {mend}")
    ndim = next(iter(arrays.values())).ndim
    space = {"scale": sizes or (1.0,) * ndim, "units": ("um" if sizes else "pixel",) * ndim}
    viewer = napari.Viewer(title="siamdecon", axis_labels=("z", "y", "x")[-ndim:])
    limits = limits or grey_limits(arrays)
    for name, array in arrays.items():
        layer = viewer.add_image(array, name=name, contrast_limits=limits, **space)
        layer.name_overlay.visible = True
    viewer.canvas.grid.enabled = len(arrays) > 1
    viewer.canvas.overlays.scale_bar.visible = True
    viewer.fit_to_view()
    napari.run()  # returns at once in a notebook
    return viewer
