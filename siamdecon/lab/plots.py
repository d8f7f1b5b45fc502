"""Pictures that can be compared: the same crop, the same grey scale, and alt text."""

import io
import textwrap

import matplotlib.pyplot as plt
import numpy as np
from IPython.display import Image
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from siamdecon.lab.volumes import arranged, highest_values, middle_planes, unpacked

#: Blue, vermilion, green, purple, orange, sky blue: distinct for any colour vision (Okabe and Ito 2008).
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")


def picture(figure: Figure, alt: str, dpi: int = 110) -> Image:
    """Turn a figure into a picture with alt text, and close it.

    Parameters
    ----------
    figure : Figure
    alt : str
        What the picture shows, for a reader who can't see it.
    dpi : int

    Returns
    -------
    IPython.display.Image
        A notebook shows it if it is the last line of a cell.

    Examples
    --------
    >>> figure, _ = plt.subplots()
    >>> picture(figure, "an empty plot").alt
    'an empty plot'
    """
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=dpi, bbox_inches="tight")
    plt.close(figure)
    return Image(data=png.getvalue(), format="png", alt=alt)


def gallery(
    images: dict[str, np.ndarray],
    *,
    zoom: tuple[int, int, int] | None = None,
    limits: tuple[float, float] = (0, 1),
    voxel_size=None,
    across: int | None = None,
    title_size: float | None = None,
    outline: np.ndarray | None = None,
    alt: str,
) -> Image:
    """Show images side by side, all with the same grey scale, and below each the same part enlarged.

    At most three stand in a row, so that they and their titles can be seen on a phone; of more than three the
    part alone is shown. Of a volume, the middle planes along each axis are shown, and below them the highest
    values along each.

    Parameters
    ----------
    images : Restoration, or dict of str to ndarray, Image or Restoration, shape ([z,] y, x)
        Titles and images of the same shape. Of a `Restoration` alone, what was measured and what was made
        of it.
    zoom : (y, x, side), optional
        Corner and side of the square to enlarge, in pixels.
    limits : (low, high)
        Values shown black and white, in every image.
    voxel_size : Microscope, or tuple of float, optional
        um along each axis, for the true aspect; that of an Image or Restoration unless given. If it is
        unknown, voxels are drawn as cubes.
    across : int, optional
        Images in a row; two of four, else at most three, unless given.
    title_size : float, optional
        Height of the titles in points, on images 3 inches wide; it follows from `across` unless given.
    outline : ndarray of bool, shape (y, x), optional
        Pixels to outline in the enlarged part.
    alt : str
        What the picture shows, for a reader who can't see it.

    Returns
    -------
    IPython.display.Image

    Raises
    ------
    ValueError
        If the images differ in shape or voxel size.

    Examples
    --------
    >>> image = np.eye(32)
    >>> type(gallery({"a": image, "b": 1 - image}, zoom=(4, 4, 8), alt="two diagonals")).__name__
    'Image'
    """
    images, sizes = unpacked(images, voxel_size)
    aspect = 1.0
    if next(iter(images.values())).ndim == 3:
        images = {title: orthogonal_views(volume, sizes) for title, volume in images.items()}
    elif sizes:
        aspect = sizes[0] / sizes[1]
    if zoom and len(images) > 3:
        (y, x, side), zoom = zoom, None
        images = {name: image[y : y + side, x : x + side] for name, image in images.items()}
    across = across or (2 if len(images) == 4 else min(len(images), 3))
    rows, blocks = 2 if zoom else 1, -(-len(images) // across)
    height, width = next(iter(images.values())).shape
    size, height = 3.0, height * aspect
    points = title_size or max(10, 5.5 * across)
    titles = [
        "\n".join(textwrap.fill(line, 72 // across) for line in title.split("\n"))
        for title in images
    ]
    # room for all lines of the titles, so that the images stay as large
    tall = size * height / width + (size if zoom else 0)
    tall += 1.4 * points / 72 * max(title.count("\n") + 1 for title in titles)
    figure, axes = plt.subplots(
        rows * blocks,
        across,
        figsize=(size * across, tall * blocks),
        squeeze=False,
        layout="constrained",
        height_ratios=[height / width, 1][:rows] * blocks,
    )
    window = {"cmap": "gray", "vmin": limits[0], "vmax": limits[1], "interpolation": "nearest"}
    window["aspect"] = aspect
    frame = {"fill": False, "edgecolor": PALETTE[4], "linewidth": 1.5}
    columns = axes.reshape(blocks, rows, across).swapaxes(1, 2).reshape(-1, rows)
    for column, title, image in zip(columns, titles, images.values(), strict=False):
        column[0].imshow(image, **window)
        column[0].set_title(title, fontsize=points)
        if zoom:
            y, x, side = zoom
            column[0].add_patch(Rectangle((x, y), side, side, **frame))
            column[1].imshow(image[y : y + side, x : x + side], **window)
            if outline is not None:
                for row, left in np.argwhere(outline[y : y + side, x : x + side]):
                    column[1].add_patch(Rectangle((left - 0.5, row - 0.5), 1, 1, **frame))
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
    for axis in columns[len(images) :].flat:
        axis.remove()
    return picture(figure, alt)


def orthogonal_views(volume: np.ndarray, voxel_size=None) -> np.ndarray:
    """Arrange the middle planes of a volume, and below them its highest values along each axis.

    Parameters
    ----------
    volume : ndarray, shape (z, y, x)
    voxel_size : (z, y, x), optional
        um, for the true aspect; voxels are drawn as cubes unless given.

    Returns
    -------
    ndarray, shape (2 (y + z) + 6, x + z + 2)
        The plane (y, x), to its right (y, z), below it (z, x); then the same of the highest values. What
        lies between them is NaN. z, y and x are lengths in pixels of the smallest side of a voxel.

    Examples
    --------
    >>> orthogonal_views(np.zeros((2, 3, 4))).shape
    (16, 8)
    >>> orthogonal_views(np.zeros((2, 3, 4)), (0.9, 0.3, 0.3)).shape
    (24, 12)
    """
    shown = middle_planes(volume), highest_values(volume)
    return np.concatenate([arranged(planes, voxel_size) for planes in shown])


def lines(
    x: np.ndarray | dict[str, np.ndarray],
    curves: dict[str, np.ndarray],
    *,
    xlabel: str,
    ylabel: str,
    log: str = "",
    alt: str,
) -> Image:
    """Draw curves over one axis, distinguished by colour and dashes.

    Parameters
    ----------
    x : ndarray, or dict of str to ndarray
        Positions of the values; one for each curve, or one for all.
    curves : dict of str to ndarray
        Values by name, at most six.
    xlabel, ylabel : str
        With units.
    log : str
        Axes with a logarithmic scale: "", "x", "y" or "xy".
    alt : str
        What the picture shows, for a reader who can't see it.

    Returns
    -------
    IPython.display.Image

    Raises
    ------
    ValueError
        If there are more curves than colours in the palette.

    Examples
    --------
    >>> lines(np.arange(3), {"a": np.arange(3)}, xlabel="step", ylabel="loss", alt="a rising line").alt
    'a rising line'
    """
    if len(curves) > len(PALETTE):
        raise ValueError(f"curves: expected {len(PALETTE)} or fewer, got {len(curves)}")
    figure, axis = plt.subplots(figsize=(6, 3.2), layout="constrained")
    dashes = ("-", "--", "-.", ":", (0, (6, 1)), (0, (1, 1)))
    places = x if isinstance(x, dict) else dict.fromkeys(curves, x)
    for (name, values), colour, dash in zip(curves.items(), PALETTE, dashes, strict=False):
        axis.plot(places[name], values, color=colour, linestyle=dash, label=name)
    axis.set(xlabel=xlabel, ylabel=ylabel)
    for name, scale in (("x", axis.xaxis), ("y", axis.yaxis)):
        if name in log:
            axis.set(**{f"{name}scale": "log"})
            scale.set_major_formatter("{x:g}")
            scale.set_minor_formatter("")  # its labels would overlap on a short axis
    if "x" in log:
        measured = np.unique(np.concatenate([places[name] for name in curves]))
        if len(measured) <= 8:  # instead of ticks at powers of ten
            axis.set_xticks(measured, minor=False)
            axis.set_xticks([], minor=True)
    axis.spines[["top", "right"]].set_visible(False)
    if len(curves) > 1:
        axis.legend(frameon=False)
    return picture(figure, alt)


def score_table(scores: dict[str, dict[str, float]]) -> str:
    """Format scores as a Markdown table, with the best of each column in bold.

    Parameters
    ----------
    scores : dict of str to dict
        Row titles, and what `siamdecon.score` returned for each; of its values, mutual information (MI and
        SMI) is left out.

    Returns
    -------
    str
        Markdown; give it to `IPython.display.Markdown`.

    Examples
    --------
    >>> print(score_table({"a": {"psnr": 20.0, "rmse": 0.1}, "b": {"psnr": 30.0, "rmse": 0.03}}))
    | | PSNR (dB) | RMSE |
    |---|---|---|
    | a | 20.00 | 0.100 |
    | b | **30.00** | **0.030** |
    """
    names = [name for name in next(iter(scores.values())) if name not in ("mi", "smi")]
    head = {"psnr": "PSNR (dB)"}
    best = {n: (min if n == "rmse" else max)(row[n] for row in scores.values()) for n in names}
    lines = [
        "| | " + " | ".join(head.get(n, n.upper()) for n in names) + " |",
        "|" + "---|" * (len(names) + 1),
    ]
    for title, row in scores.items():
        cells = [f"{row[n]:.2f}" if n == "psnr" else f"{row[n]:.3f}" for n in names]
        marked = [
            f"**{cell}**" if row[n] == best[n] else cell
            for n, cell in zip(names, cells, strict=True)
        ]
        lines.append(f"| {title} | " + " | ".join(marked) + " |")
    return "\n".join(lines)


def loss_curves(history, *, skip: int = 10) -> Image:
    """Draw every loss term by name against the training step.

    Parameters
    ----------
    history : siamdecon.network.training.History
    skip : int
        First steps to leave out: their values are so large that they would hide the rest.

    Returns
    -------
    IPython.display.Image

    Examples
    --------
    >>> import torch
    >>> from siamdecon.network.training import History
    >>> history = History({"total": torch.rand(20), "rec": torch.rand(20)})
    >>> loss_curves(history).alt
    'Loss terms against training steps 10 to 20: rec.'
    """
    names = [name for name in history.names() if name != "total"]
    figure, axes = plt.subplots(
        1, len(names), figsize=(3.2 * len(names), 2.4), squeeze=False, layout="constrained"
    )
    steps = np.arange(skip, len(history))
    for axis, name, colour in zip(axes[0], names, PALETTE, strict=False):
        axis.plot(steps, history[name][skip:], color=colour, linewidth=1)
        axis.set(xlabel="step", title=f"$L_{{{name.replace('_d', ' (d)')}}}$")
        axis.spines[["top", "right"]].set_visible(False)
    alt = f"Loss terms against training steps {skip} to {len(history)}: {', '.join(names)}."
    return picture(figure, alt)
