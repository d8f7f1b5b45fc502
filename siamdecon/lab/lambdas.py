"""The lambda explorer: a stored sweep over weights and training steps, and live training of other weights."""

import ipywidgets as widgets
import numpy as np

from siamdecon.lab.axes import Axes
from siamdecon.lab.explorer import Explorer
from siamdecon.lab.frames import Frame, compress
from siamdecon.lab.live import LiveTraining
from siamdecon.lab.sweep import BOUNDARIES, Scene, grid_weights, load_sweep, train_point

_NOTHING = compress([np.ones((128, 128)), np.ones((128, 128))])


class LambdaExplorer(Explorer):
    """Move through lambda_inv, lambda_inv_d, the boundary losses and the training step.

    The stored sweep is shown at once. Any other lambdas can be typed in and trained live; their frames are
    added to the controls.

    Parameters
    ----------
    tier : str, optional
        Of live training, see `siamdecon.deconvolve`.

    Examples
    --------
    Introduced in notebook 06.

    >>> explorer = LambdaExplorer()
    >>> explorer.set(lambda_inv=0, lambda_inv_d=2, step=400)
    >>> explorer.frame.text
    "rec 1, inv_d 2, step 400: PSNR ... dB, SSIM ..., residual's standard deviation ..."
    """

    def __init__(self, tier: str | None = None):
        about, stored = load_sweep()
        self.tier, self._scene = tier, None
        bins = len(next(iter(next(iter(stored.values())).curves.values())))
        frequency = tuple((i + 0.5) / (2 * bins) for i in range(bins))
        super().__init__(
            "Estimate, and residual from -0.3 (black) to 0.3 (white)",
            about["controls"],
            lambda *at: stored[at],
            start={"lambda_inv_d": 2, "step": max(about["controls"]["step"])},
            axes=Axes(frequency, "spatial frequency (cycles per pixel)", "", (-0.5, 2)),
        )
        self._frames.update(stored)
        self._fields = {
            name: widgets.BoundedFloatText(
                1.0,
                min=0,
                max=100,
                description=name.replace("_", " "),
                style={"description_width": "initial"},
                layout=widgets.Layout(width="180px"),
            )
            for name in ("lambda_inv", "lambda_inv_d")
        }
        self._boundary = widgets.Dropdown(options=list(BOUNDARIES), description="boundary")
        self.button = widgets.Button(description="Train these", button_style="primary")
        self.button.on_click(self._train_fields)
        self._stage = widgets.VBox([])
        train = widgets.HBox(
            [*self._fields.values(), self._boundary, self.button],
            layout=widgets.Layout(flex_flow="row wrap"),
        )
        note = widgets.HTML(
            "<b>Other lambdas</b>, trained live; the notebook's stop button ends the training:"
        )
        self.view.children = (*self.view.children, note, train, self._stage)

    def train(self, lambda_inv: float, lambda_inv_d: float, boundary: str = "none") -> None:
        """Train with other lambdas, and show the result; an interrupt keeps the result so far.

        Parameters
        ----------
        lambda_inv, lambda_inv_d : float
            Weights, 0 or more.
        boundary : str
            A value of the boundary control.
        """
        weights = grid_weights(lambda_inv, lambda_inv_d, boundary)
        self._scene = self._scene or Scene()
        live = LiveTraining(self._scene.noisy)
        self._stage.children = (live.view,)
        reached = 0
        for reached, frame in train_point(self._scene, weights, tier=self.tier, callback=live):
            self._frames[lambda_inv, lambda_inv_d, boundary, reached] = frame
            self._widen("step", reached)
        self._widen("lambda_inv", lambda_inv)
        self._widen("lambda_inv_d", lambda_inv_d)
        self.set(lambda_inv=lambda_inv, lambda_inv_d=lambda_inv_d, boundary=boundary, step=reached)
        self._show()

    def frame_at(self, at: tuple) -> Frame:
        """Return a frame of the sweep or of a live training; a frame that says so if there is none."""
        try:
            return super().frame_at(at)
        except KeyError:
            near = self._frames[0, 2, "none", max(self.static["step"])]
            flat = {name: [0.0] * len(values) for name, values in near.curves.items()}
            return Frame(_NOTHING, "not trained: type these lambdas below, and train", flat)

    def _train_fields(self, button: widgets.Button) -> None:
        button.disabled = True
        try:
            chosen = {name: field.value for name, field in self._fields.items()}
            self.train(**chosen, boundary=self._boundary.value)
        finally:
            button.disabled = False

    def _widen(self, name: str, value: float) -> None:
        """Add a value to a control, in order."""
        if value in self.grid[name]:
            return
        self.grid[name] = tuple(sorted((*self.grid[name], value)))
        control, at = self.controls[name], self.controls[name].value
        control.options = [(f"{v:g}", v) for v in self.grid[name]]
        control.value = at
