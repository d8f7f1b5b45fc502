"""A live view of a training: loss terms by name, the current estimate, and the time left."""

import time

import ipywidgets as widgets
import numpy as np

from siamdecon.lab.automatic import automatic
from siamdecon.lab.axes import Axes
from siamdecon.lab.explorer import STYLE
from siamdecon.lab.frames import compress
from siamdecon.lab.views import live_or_static
from siamdecon.network.inference import guess
from siamdecon.network.training import Training


class LiveTraining:
    """A view of a training in progress, and the callback that updates it.

    A notebook shows it if it is the last line of a cell; pass it as `callback` in the next one. It is updated
    at most 4 times a second and takes at most a tenth of the time. In automatic runs it is updated once, at
    the end. The notebook's own stop button ends the training, which then returns the result so far.

    Parameters
    ----------
    noisy : ndarray, shape (y, x)
        The measurement, in [0, 1].
    side : int
        Side of the middle part that is shown, in pixels.

    Examples
    --------
    Introduced in notebook 04.

    >>> from siamdecon import deconvolve
    >>> noisy, psf = np.random.rand(64, 64), np.ones((3, 3)) / 9
    >>> live = LiveTraining(noisy)
    >>> result = deconvolve(noisy, psf, tier="test", callback=live, progress=False)
    >>> live.text
    'step 4 of 4, done: rec ..., inv_d ..., bound_d ...'
    """

    def __init__(self, noisy: np.ndarray, side: int = 160):
        inside = tuple(slice(max(0, (n - side) // 2), (n + side) // 2) for n in np.shape(noisy))
        self.part = np.asarray(noisy, dtype=np.float32)[inside]
        self.text = "waiting for the training"
        self.updates = 0
        self._began = self._next = None
        self._image = widgets.Image(
            value=compress([self.part, self.part]),
            format="webp",
            layout=widgets.Layout(width="min(100%, 480px)"),
        )
        self._caption = widgets.HTML(self.text)
        self.view = widgets.VBox(
            [
                widgets.HTML("<b>Measurement, and the current estimate</b>"),
                self._image,
                self._caption,
            ]
        )

    def __call__(self, training: Training) -> None:
        """Show a step, if an update is due."""
        now = time.monotonic()
        if training.step == 1 or self._began is None:
            self._began, self._first, self._next = now, training.step, now
        last = training.step >= training.config.steps
        if not last and (automatic() or now < self._next):
            return
        self._show(training, now - self._began, last)
        spent = time.monotonic() - now
        self._next = time.monotonic() + max(0.25, 9 * spent)

    def _show(self, training: Training, seconds: float, last: bool) -> None:
        estimate = guess(training, self.part)
        names = [name for name in training.history.names() if name != "total"]
        done = max(1, training.step - self._first)
        left = seconds / done * (training.config.steps - training.step)
        terms = ", ".join(f"{name} {training.history[name][-10:].mean():.3f}" for name in names)
        state = "done" if last else f"{left:.0f} s left"
        self.text = f"step {training.step} of {training.config.steps}, {state}: {terms}"
        self.updates += 1
        self._image.value = compress([self.part, estimate])
        self._caption.value = (
            f'<style>{STYLE}</style><div class="siamdecon-explorer">'
            f'<div role="status">{self.text}</div>{self._curves(training, names)}</div>'
        )

    @staticmethod
    def _curves(training: Training, names: list[str]) -> str:
        """Draw each term relative to its first values, so that all fit on one axis."""
        steps = np.unique(np.linspace(0, len(training.history) - 1, 100).astype(int))
        if len(steps) < 2:
            return ""
        curves = {}
        for name in names:
            values = training.history[name]
            curves[name] = (values[steps] / max(1e-9, values[:10].mean())).tolist()
        axes = Axes(tuple(steps + 1.0), "step", "relative to the start", (0, 1.5))
        return axes.svg(curves)

    def _repr_mimebundle_(self, **kwargs) -> dict:
        static = "<i>In a running notebook, the training that follows is shown here.</i>"
        return live_or_static(self.view, static)
