"""Muon: an optimiser that trains a network without batch normalisation in few steps."""

from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import Tensor, nn


class Muon(torch.optim.Adam):
    r"""Steps of one size in all directions for the layers' weights; Adam for biases and a single output.

    .. math:: M \leftarrow \mu M + (1 - \mu)\, G, \qquad
              W \leftarrow W - \eta\, c \sqrt{\max(1, m / n)}\; O(\mu M + (1 - \mu)\, G)

    with G the gradient of an m x n matrix W, which has a row for each output of a layer, and O(USV^T) = UV^T.
    Adam scales each weight by itself; this scales the directions in which all weights of a layer move
    together, so that rare ones, such as fine structures, are learned as fast as the brightness.

    Parameters
    ----------
    parameters : iterable of nn.Parameter
    lr : float
        eta, the learning rate of Adam.
    gain : float
        c, how much larger the other layers' rate is.
    momentum : float
        mu.

    References
    ----------
    Jordan et al., "Muon: an optimizer for hidden layers in neural networks" (2024),
    https://kellerjordan.github.io/posts/muon/.

    Examples
    --------
    >>> layer = nn.Linear(2, 2)
    >>> nn.init.zeros_(layer.weight).grad = torch.tensor([[3.0, 0.0], [0.0, 0.03]])
    >>> Muon([layer.weight], lr=0.1, gain=1).step()
    >>> layer.weight.detach().abs().gt(0.05).tolist()
    [[True, False], [False, True]]
    """

    def __init__(self, parameters: Iterable[nn.Parameter], lr: float, gain=6.0, momentum=0.95):
        parameters = list(parameters)
        alike = defaultdict(list)  # matrices of one shape are made orthogonal together
        for weight in parameters:
            if weight.ndim > 1 and min(weight.flatten(1).shape) > 1:
                alike[weight.flatten(1).shape].append(weight)
        self.alike = [(ws, ws[0].new_zeros(len(ws), *shape)) for shape, ws in alike.items()]
        self.gain, self.momentum = gain, momentum
        matrices = {id(weight) for weights, _ in self.alike for weight in weights}
        others = [weight for weight in parameters if id(weight) not in matrices]
        super().__init__([{"params": others}], lr, betas=(0.9, 0.99), fused=True)

    @torch.no_grad()
    def step(self):
        """Take a step."""
        super().step()
        for weights, mean in self.alike:
            gradient = torch.stack([weight.grad.flatten(1) for weight in weights])  # (k, m, n)
            mean.lerp_(gradient, 1 - self.momentum)
            change = orthogonal(gradient.lerp(mean, self.momentum))
            rows, columns = change.shape[1:]
            rate = self.param_groups[0]["lr"] * self.gain * max(1, rows / columns) ** 0.5
            for weight, part in zip(weights, change, strict=True):
                weight.sub_(part.view_as(weight), alpha=min(rate, torch.finfo(weight.dtype).max))


def orthogonal(matrices: Tensor) -> Tensor:
    """Bring the singular values near 1, from 0.68 to 1.2, but for those below 0.003 of the norm.

    Each of five steps applies a polynomial to them, with the coefficients of Jordan et al.

    Parameters
    ----------
    matrices : Tensor, shape (k, m, n)

    Examples
    --------
    >>> near = torch.linalg.svdvals(orthogonal(torch.rand(3, 4, 9)))
    >>> bool((near > 0.6).all() and (near < 1.3).all())
    True
    """
    x = matrices / (matrices.norm(dim=(1, 2), keepdim=True) + 1e-7)
    tall = x.shape[1] > x.shape[2]
    x = x.mT if tall else x
    for _ in range(5):
        square = x @ x.mT
        x = 3.4445 * x + (2.0315 * square @ square - 4.7750 * square) @ x
    return x.mT if tall else x
