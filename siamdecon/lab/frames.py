"""What an explorer shows at one position of its controls: a picture, curves and a text."""

import io
from dataclasses import dataclass, field

import numpy as np
from PIL import Image, ImageDraw, ImageFont


@dataclass(frozen=True)
class Frame:
    """One position of an explorer.

    Attributes
    ----------
    picture : bytes
        WebP: the pictures side by side.
    text : str
        Caption, and the text for those who can't see the picture.
    curves : dict of str to list of float
        Values over the explorer's x axis, by name.

    Examples
    --------
    >>> Frame(compress([np.eye(8)]), "a diagonal line").curves
    {}
    """

    picture: bytes
    text: str
    curves: dict[str, list[float]] = field(default_factory=dict)


def compress(images: list[np.ndarray], *, size: int = 0, quality: int = 60) -> bytes:
    """Put grey images side by side and compress them.

    Parameters
    ----------
    images : list of ndarray, shape (y, x)
        Of the same height, values 0 (black) to 1 (white); values outside are clipped.
    size : int
        Height to enlarge to, by repeating pixels; 0 leaves images as they are.
    quality : int
        Of the compression, 1 to 100.

    Returns
    -------
    bytes
        A WebP file; 4 white columns separate the images.

    Examples
    --------
    >>> picture = compress([np.eye(8), np.zeros((8, 8))], size=32)
    >>> Image.open(io.BytesIO(picture)).size
    (68, 32)
    """
    scale = max(1, round(size / images[0].shape[0]))
    large = [np.kron(np.clip(image, 0, 1), np.ones((scale, scale))) for image in images]
    gap = np.ones((large[0].shape[0], 4))
    row = np.hstack([part for image in large for part in (gap, image)][1:])
    webp = io.BytesIO()
    Image.fromarray(np.rint(255 * row).astype(np.uint8)).save(webp, "WEBP", quality=quality)
    return webp.getvalue()


def labelled(images: dict[str, np.ndarray]) -> np.ndarray:
    """Arrange grey images of one shape in two columns, each below its name, on white.

    Parameters
    ----------
    images : dict of str to ndarray, shape (y, x)
        Values 0 (black) to 1 (white); what is NaN becomes white.

    Returns
    -------
    ndarray, shape (rows, columns)

    Examples
    --------
    >>> labelled({name: np.zeros((90, 160)) for name in "abc"}).shape
    (216, 324)
    """
    width = next(iter(images.values())).shape[1]
    times = max(1, round(160 / width))  # room for the names
    size = times * width // 13  # 13 pixels on a phone
    panels = []
    for name, image in images.items():
        strip = Image.new("L", (times * width, size + 6), 255)
        ImageDraw.Draw(strip).text((0, 1), name, fill=0, font=ImageFont.load_default(size))
        large = np.kron(np.nan_to_num(image, nan=1.0), np.ones((times, times)))
        panels.append(
            np.pad(np.vstack([np.asarray(strip) / 255, large]), ((0, 0), (0, 4)), constant_values=1)
        )
    if len(panels) > 1 and len(panels) % 2:
        panels.append(np.ones_like(panels[0]))
    rows = [np.hstack(panels[i : i + 2]) for i in range(0, len(panels), 2)]
    return np.vstack(rows)[:, :-4]
