"""Controls over a finite grid of frames: live in a notebook, or in a page without a kernel."""

import base64
import html
import itertools
import json
import uuid
from collections.abc import Callable

import ipywidgets as widgets
import numpy as np

from siamdecon.lab.axes import Axes
from siamdecon.lab.frames import Frame
from siamdecon.lab.views import live_or_static


class Explorer:
    """Sliders over a grid, with a frame for each position: picture, curves and text change together.

    A notebook with a kernel shows widgets; a page without one shows the same frames with native HTML
    controls. Both respond to the arrow keys.

    Parameters
    ----------
    title : str
        What the picture shows, from left to right.
    controls : dict of str to sequence
        The values of each control.
    frame : callable
        Takes a value for each control, in their order; returns the `Frame`. Called once for each position.
    start : dict of str to value, optional
        Initial values of the controls; the first values unless given.
    titles : dict of str to str, optional
        Label of a control, with its unit; its name unless given.
    axes : Axes, optional
        For frames with curves.
    static : dict of str to sequence, optional
        The values for the page without a kernel, if all would be too many.
    width : int
        Largest width of the picture on the screen, in pixels.

    Raises
    ------
    ValueError
        If a control has no value, or `start` or `static` names one that does not exist.

    Examples
    --------
    Introduced in notebook 01.

    >>> from siamdecon.lab.frames import compress
    >>> def flat(grey):
    ...     return Frame(compress([np.full((8, 8), grey)]), f"grey level {grey}")
    >>> explorer = Explorer("a grey square", {"grey": (0.0, 0.5, 1.0)}, flat)
    >>> explorer.set(grey=0.5)
    >>> explorer.frame.text
    'grey level 0.5'
    """

    def __init__(
        self,
        title: str,
        controls: dict[str, tuple],
        frame: Callable[..., Frame],
        *,
        start: dict | None = None,
        titles: dict[str, str] | None = None,
        axes: Axes | None = None,
        static: dict[str, tuple] | None = None,
        width: int = 640,
    ):
        self.title, self.axes, self.width = title, axes, width
        self.grid = {name: tuple(values) for name, values in controls.items()}
        self.static = {**self.grid, **(static or {})}
        start = {name: values[0] for name, values in self.grid.items() if values} | (start or {})
        _check_grid(self.grid, self.static, start)
        self._titles = {name: name.replace("_", " ") for name in self.grid} | (titles or {})
        self._make, self._frames = frame, {}
        self.controls = {
            name: widgets.SelectionSlider(
                options=[(_label(v), v) for v in values],
                value=start[name],
                description=self._titles[name],
                style={"description_width": "150px"},
                layout=widgets.Layout(width=f"min(100%, {width}px)"),
            )
            for name, values in self.grid.items()
        }
        self.image = widgets.Image(
            format="webp", layout=widgets.Layout(width=f"min(100%, {width}px)")
        )
        self.text = widgets.HTML()
        self.view = widgets.VBox(
            [
                widgets.HTML(f"<b>{html.escape(title)}</b>"),
                *self.controls.values(),
                self.image,
                self.text,
            ]
        )
        for control in self.controls.values():
            control.observe(self._show, names="value")
        self._show()

    @property
    def at(self) -> tuple:
        """The values of the controls."""
        return tuple(control.value for control in self.controls.values())

    @property
    def frame(self) -> Frame:
        """The frame that is shown."""
        return self.frame_at(self.at)

    def frame_at(self, at: tuple) -> Frame:
        """Return the frame of a position, computed at the first request."""
        if at not in self._frames:
            self._frames[at] = self._make(*at)
        return self._frames[at]

    def set(self, **values) -> None:
        """Move controls, as a learner does."""
        for name, value in values.items():
            self.controls[name].value = value

    def to_html(self) -> str:
        """Return HTML for a page: native controls over the frames, without a kernel or a network."""
        positions = list(itertools.product(*self.static.values()))
        frames = [self.frame_at(at) for at in positions]
        pictures = list(dict.fromkeys(frame.picture for frame in frames))  # each of them once
        place = {picture: i for i, picture in enumerate(pictures)}
        start = [
            values.index(control.value) if control.value in values else 0
            for values, control in zip(self.static.values(), self.controls.values(), strict=True)
        ]
        data = {
            "sizes": [len(values) for values in self.static.values()],
            "labels": [[_label(v) for v in values] for values in self.static.values()],
            "pictures": [base64.b64encode(picture).decode() for picture in pictures],
            "shown": [place[frame.picture] for frame in frames],
            "texts": [frame.text for frame in frames],
            "curves": [[self.axes.points(v) for v in f.curves.values()] for f in frames]
            if self.axes
            else None,
        }
        sliders = "".join(
            f"<label><span>{html.escape(self._titles[name])}</span>"
            f'<input type="range" min="0" max="{len(values) - 1}" value="{at}"><output></output></label>'
            for (name, values), at in zip(self.static.items(), start, strict=True)
        )
        first = frames[int(np.ravel_multi_index(start, data["sizes"]))]
        picture = base64.b64encode(first.picture).decode()
        return _PAGE.format(
            id=f"explorer-{uuid.uuid4().hex[:8]}",
            width=self.width,
            title=html.escape(self.title),
            sliders=sliders,
            picture=picture,
            text=html.escape(first.text, quote=True),
            svg=self.axes.svg(first.curves) if self.axes else "",
            data=json.dumps(data).replace("<", "\\u003c"),
            style=STYLE,
        )

    def _show(self, change=None) -> None:
        frame = self.frame
        curves = self.axes.svg(frame.curves) if self.axes and frame.curves else ""
        text = f'<div role="status">{html.escape(frame.text)}</div>'
        self.image.value = frame.picture
        self.text.value = (
            f'<style>{STYLE}</style><div class="siamdecon-explorer" style="max-width:{self.width}px">'
            f"{curves}{text}</div>"
        )

    def _repr_mimebundle_(self, **kwargs) -> dict:
        return live_or_static(self.view, self.to_html())


def _check_grid(grid: dict, static: dict, start: dict) -> None:
    for name, values in grid.items():
        if not values:
            raise ValueError(f"controls: {name} has no value")
    for what, named in (("start", start), ("static", static)):
        if unknown := set(named) - set(grid):
            raise ValueError(
                f"{what}: expected controls {', '.join(grid)}, got {', '.join(sorted(unknown))}"
            )
    for name, value in start.items():
        if value not in grid[name]:
            raise ValueError(f"start: {name} expected one of {grid[name]}, got {value!r}")
    for name, values in static.items():
        if outside := [value for value in values if value not in grid[name]]:
            raise ValueError(f"static: {name} expected values of {grid[name]}, got {outside}")


def _label(value) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, int | float) else str(value)


STYLE = """
.siamdecon-explorer img {width: 100%; image-rendering: pixelated}
.siamdecon-explorer svg {width: 100%; max-width: 520px; background: #fff}
.siamdecon-explorer text {font: 11px sans-serif; fill: #222}
.siamdecon-explorer .grid {stroke: #ddd}
.siamdecon-explorer .curve {fill: none; stroke-width: 2}
.siamdecon-explorer label {display: flex; gap: .6em; align-items: center; margin: .3em 0}
.siamdecon-explorer label span {width: 9em}
.siamdecon-explorer input {flex: 1; min-width: 6em}
.siamdecon-explorer output {min-width: 6em}
"""

_PAGE = """<figure class="siamdecon-explorer" id="{id}" style="max-width:{width}px;margin:1em 0">
<style>{style}</style>
<b>{title}</b>
{sliders}
<img alt="{text}" src="data:image/webp;base64,{picture}">
{svg}
<figcaption aria-live="polite">{text}</figcaption>
<script type="application/json">{data}</script>
<script>
(() => {{
  const root = document.getElementById("{id}");
  const data = JSON.parse(root.querySelector("script[type='application/json']").textContent);
  const inputs = [...root.querySelectorAll("input")], outputs = [...root.querySelectorAll("output")];
  const image = root.querySelector("img"), caption = root.querySelector("figcaption");
  const curves = [...root.querySelectorAll("polyline")];
  function show() {{
    const at = inputs.map(input => +input.value);
    const index = at.reduce((sum, value, axis) => sum * data.sizes[axis] + value, 0);
    at.forEach((value, axis) => {{
      outputs[axis].textContent = data.labels[axis][value];
      inputs[axis].setAttribute("aria-valuetext", data.labels[axis][value]);
    }});
    image.src = "data:image/webp;base64," + data.pictures[data.shown[index]];
    image.alt = caption.textContent = data.texts[index];
    if (data.curves) data.curves[index].forEach((points, i) => curves[i].setAttribute("points", points));
  }}
  inputs.forEach(input => input.addEventListener("input", show));
  show();
}})();
</script>
</figure>"""
