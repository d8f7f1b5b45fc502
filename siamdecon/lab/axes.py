"""The curves of an explorer, drawn as SVG, so that a page can redraw them without a kernel."""

import html
from dataclasses import dataclass

from matplotlib.ticker import MaxNLocator

from siamdecon.lab.plots import PALETTE

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _BOTTOM, _TOP = 440, 200, 48, 24, 38, 24
_DASHES = ("", "6 3", "2 3")


@dataclass(frozen=True)
class Axes:
    """The axes that an explorer draws its curves over.

    Attributes
    ----------
    x : sequence of float
        Positions of the curves' values.
    xlabel, ylabel : str
    ylim : (low, high)

    Examples
    --------
    >>> Axes((0, 1), "iterations", "PSNR (dB)", (20, 30)).points([20, 30]).count(",")
    2
    """

    x: tuple[float, ...]
    xlabel: str
    ylabel: str
    ylim: tuple[float, float]

    def points(self, values: list[float]) -> str:
        """Return a curve as the points of an SVG polyline."""
        return " ".join(
            f"{self._across(x):.1f},{self._up(y):.1f}" for x, y in zip(self.x, values, strict=True)
        )

    def svg(self, curves: dict[str, list[float]]) -> str:
        """Draw curves, distinguished by colour and dashes, with labelled axes."""
        low, high = self.ylim
        parts = [
            f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{self._about(curves)}">'
        ]
        for tick in _ticks(low, high):
            y = self._up(tick)
            parts.append(
                f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
            )
            parts.append(
                f'<text x="{_LEFT - 5}" y="{y + 4:.1f}" text-anchor="end">{tick:.3g}</text>'
            )
        for tick in _ticks(self.x[0], self.x[-1]):
            x = self._across(tick)
            parts.append(
                f'<text x="{x:.1f}" y="{_HEIGHT - _BOTTOM + 14}" text-anchor="middle">{tick:.3g}</text>'
            )
        middle = (_LEFT + _WIDTH - _RIGHT) / 2
        parts.append(
            f'<text x="{middle}" y="{_HEIGHT - 6}" text-anchor="middle">{html.escape(self.xlabel)}</text>'
        )
        parts.append(f'<text x="{_LEFT}" y="12">{html.escape(self.ylabel)}</text>')
        space = (_WIDTH - 170) / max(1, len(curves))
        for index, (name, values) in enumerate(curves.items()):
            style = f'stroke="{PALETTE[index]}" stroke-dasharray="{_DASHES[index % 3]}"'
            parts.append(f'<polyline class="curve" {style} points="{self.points(values)}"/>')
            x = 150 + index * space
            parts.append(f'<line {style} stroke-width="2" x1="{x}" x2="{x + 24}" y1="8" y2="8"/>')
            parts.append(f'<text x="{x + 28}" y="12">{html.escape(name)}</text>')
        return "".join(parts) + "</svg>"

    def _about(self, curves: dict) -> str:
        return html.escape(f"{', '.join(curves)} against {self.xlabel}", quote=True)

    def _across(self, x: float) -> float:
        share = (x - self.x[0]) / ((self.x[-1] - self.x[0]) or 1)  # one value: on the left
        return _LEFT + share * (_WIDTH - _RIGHT - _LEFT)

    def _up(self, y: float) -> float:
        low, high = self.ylim
        share = (min(max(y, low), high) - low) / (high - low)
        return _HEIGHT - _BOTTOM - share * (_HEIGHT - _BOTTOM - _TOP)


def _ticks(low: float, high: float) -> list[float]:
    """Return round numbers from low to high."""
    ticks = MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
    return [float(tick) for tick in ticks if low <= tick <= high]
