"""The composition loss of the paper's Eq. 1, term by term."""

from dataclasses import astuple, dataclass, replace

from torch import Tensor

from siamdecon.expect import Words, expect, is_number


@dataclass(frozen=True)
class LossWeights:
    """The six lambdas of Eq. 1; a term whose weight is 0 is not computed.

    Parameters
    ----------
    lambda_bsp, lambda_rec, lambda_inv, lambda_inv_d, lambda_bound, lambda_bound_d : float
        Weights, 0 or more, of the blind-spot, reconstruction, reconvolved invariance, deconvolved
        invariance, reconvolved boundary and deconvolved boundary loss.

    Raises
    ------
    ValueError
        If a weight is negative or not finite, or all are 0.

    Examples
    --------
    >>> LossWeights.noise2same_d().lambda_inv_d
    2.0
    >>> LossWeights.noise2same_d(lambda_bound_d=0).lambda_bound_d
    0
    """

    lambda_bsp: float = 0.0
    lambda_rec: float = 0.0
    lambda_inv: float = 0.0
    lambda_inv_d: float = 0.0
    lambda_bound: float = 0.0
    lambda_bound_d: float = 0.0

    def __post_init__(self):
        for name, value in vars(self).items():
            expect(is_number(value) and value >= 0, name, "a finite weight of 0 or more", value)
        some, got = any(astuple(self)), Words("only 0")
        expect(some, "LossWeights", "at least one weight above 0", got, "see noise2same_d()")

    @classmethod
    def noise2self(cls, **changes: float) -> "LossWeights":
        """Eq. 2: the blind-spot loss alone."""
        return replace(cls(lambda_bsp=1.0), **changes)

    @classmethod
    def noise2same(cls, **changes: float) -> "LossWeights":
        """Eq. 3: reconstruction, and invariance and boundary after the PSF."""
        return replace(cls(lambda_rec=1.0, lambda_inv=2.0, lambda_bound=0.1), **changes)

    @classmethod
    def noise2same_d(cls, **changes: float) -> "LossWeights":
        """Eq. 4: reconstruction, and invariance and boundary before the PSF."""
        return replace(cls(lambda_rec=1.0, lambda_inv_d=2.0, lambda_bound_d=0.1), **changes)

    @property
    def needs_masked(self) -> bool:
        """Whether the masked forward pass f(x_Jc) is needed."""
        return bool(self.lambda_bsp or self.lambda_inv or self.lambda_inv_d)

    @property
    def needs_masked_blur(self) -> bool:
        """Whether a loss term contains g(f(x_Jc)); Eq. 4 has none."""
        return bool(self.lambda_bsp or self.lambda_inv)

    @property
    def needs_unmasked(self) -> bool:
        """Whether the unmasked forward pass f(x) is needed."""
        return bool(self.lambda_rec or self.lambda_inv or self.lambda_inv_d or not self.lambda_bsp)


@dataclass
class Outputs:
    """The results of one forward pass, (n, 1, [z,] y, x): f(x) before the PSF and g(f(x)) after it."""

    deconvolved: Tensor
    reconvolved: Tensor | None  # None if no loss needs it


def mean_square(a: Tensor, b: Tensor, mask: Tensor | None = None) -> Tensor:
    """Return the mean of (a - b)^2 over all pixels, or over those where `mask` is True.

    Examples
    --------
    >>> import torch
    >>> a, b = torch.tensor([1.0, 5.0]), torch.tensor([3.0, 5.0])
    >>> mean_square(a, b).item(), mean_square(a, b, torch.tensor([True, False])).item()
    (2.0, 4.0)
    """
    square = (a - b).square()
    # sum and count, since indexing with the mask would have to search it
    return square.mean() if mask is None else (square * mask).sum() / mask.sum().clamp(min=1)


def invariance(a: Tensor, b: Tensor, mask: Tensor) -> Tensor:
    """Return the root mean square difference at the masked pixels.

    Examples
    --------
    >>> import torch
    >>> invariance(torch.tensor([1.0, 9.0]), torch.tensor([4.0, 0.0]), torch.tensor([True, False]))
    tensor(3.)
    """
    # the square root has no finite gradient at 0, the value for equal outputs (as in the first step)
    return (mean_square(a, b, mask) + 1e-12).sqrt()


def boundary(x: Tensor, low: float = 0.0, high: float = 1.0) -> Tensor:
    r"""Penalise values outside the bounds: constant, max - min, inside; rising with slope 2 outside.

    .. math:: L_{bound} = \mathrm{mean}(|min - x| + |x - max|)

    Examples
    --------
    >>> import torch
    >>> boundary(torch.tensor([0.2, 0.9])).item(), boundary(torch.tensor([1.5])).item()
    (1.0, 2.0)
    """
    return ((low - x).abs() + (x - high).abs()).mean()


def composition_loss(
    weights: LossWeights, x: Tensor, mask, unmasked, masked, mean=0.0, std=1.0, response=lambda x: x
) -> dict[str, Tensor]:
    r"""Compute the terms of Eq. 1 whose weight is not 0, unweighted, and their weighted sum "total".

    .. math::
        L(f) &= \lambda_{bsp}\, E \|g(f(x_{J^c}))_J - x_J\|^2
             + \lambda_{rec}\, E \|g(f(x)) - x\|^2 / m \\
             &+ \lambda_{inv}\, \big(E \|g(f(x))_J - g(f(x_{J^c}))_J\|^2 / |J|\big)^{1/2}
             + \lambda_{inv(d)}\, \big(E \|f(x)_J - f(x_{J^c})_J\|^2 / |J|\big)^{1/2} \\
             &+ \lambda_{bound}\, E(|min - g(f(x))| + |g(f(x)) - max|)
             + \lambda_{bound(d)}\, E(|min - f(x)| + |f(x) - max|)

    m and \|J\| are numbers of pixels, so every term is a mean. The boundary terms are computed after
    destandardisation, with min 0 and max 1; if there is only a masked pass (Eq. 2 with a boundary loss),
    from its outputs.

    Parameters
    ----------
    weights : LossWeights
    x : Tensor, shape (n, 1, [z,] y, x)
        The noisy input, standardised.
    mask : Tensor of bool or None, shape as `x`
        J; None if there is no masked pass.
    unmasked, masked : Outputs or None
        Outputs for x and for x_Jc; None if the weights need no such pass.
    mean, std : float
        The parameters of the standardisation: image = x * std + mean.
    response : callable
        What the noise is known to do to the mean of the image, before "bsp" and "rec" compare it with x; see
        `siamdecon.microscope.noise.mean_response`. Nothing in the paper.

    Returns
    -------
    dict of str to Tensor
        "total" first, then the terms, named "bsp", "rec", "inv", "inv_d", "bound", "bound_d".

    Examples
    --------
    Introduced in notebooks 04 to 06.

    >>> import torch
    >>> x = torch.tensor([[[[0.0, 1.0]]]])
    >>> out = Outputs(deconvolved=x, reconvolved=x + 2)
    >>> {k: v.item() for k, v in composition_loss(LossWeights(lambda_rec=3), x, None, out, None).items()}
    {'total': 12.0, 'rec': 4.0}
    """
    bounded = unmasked or masked

    def expected(outputs: Outputs) -> Tensor:
        return (response(outputs.reconvolved * std + mean) - mean) / std

    formulas = {
        "bsp": lambda: mean_square(expected(masked), x, mask),
        "rec": lambda: mean_square(expected(unmasked), x),
        "inv": lambda: invariance(unmasked.reconvolved, masked.reconvolved, mask),
        "inv_d": lambda: invariance(unmasked.deconvolved, masked.deconvolved, mask),
        "bound": lambda: boundary(bounded.reconvolved * std + mean),
        "bound_d": lambda: boundary(bounded.deconvolved * std + mean),
    }
    lambdas = {name: getattr(weights, f"lambda_{name}") for name in formulas}
    terms = {name: formula() for name, formula in formulas.items() if lambdas[name]}
    return {"total": sum(lambdas[name] * term for name, term in terms.items()), **terms}
