"""Exercises of notebooks 04 and 05: blind spots, a training loop, two passes and their bound."""

import copy

import numpy as np
import torch
from torch import Tensor, nn

from siamdecon.lab.checks.engine import CheckFailed, Exercise, as_array


def _tensor(answered, why: str) -> Tensor:
    """Return a learner's result if it is one tensor; else say why it must be."""
    if isinstance(answered, tuple):
        raise CheckFailed(
            f"Expected one tensor, got a tuple of {len(answered)}: is there a comma too many, or a + missing?"
        )
    if not isinstance(answered, Tensor):
        raise CheckFailed(f"Expected a tensor, got {type(answered).__name__}: {why}")
    return answered


class OfTensors(Exercise):
    """An exercise whose result must be a tensor, since the notebook goes on with it."""

    def _outcome(self, answered, given):
        return _tensor(answered, "use torch's functions; the next cells go on with the result.")


class OfLosses(Exercise):
    """An exercise whose result is a loss: a network can learn from it only if it carries a gradient."""

    def _outcome(self, answered, given):
        why = (
            ".item(), float() and NumPy cut the tie to the network's weights, and nothing could be "
        )
        _tensor(answered, why + "learned from the result.")
        if not answered.requires_grad:
            raise CheckFailed(
                "the result has no gradient: f is not used, or .detach(), .data or torch.no_grad() cut the "
                "tie to its weights."
            )
        solved = self.solution(*given)
        if self._close(as_array(answered), as_array(solved)):  # a wrong value has its own hint
            expected = gradient(solved, given[0])
            try:
                got = gradient(answered, given[0])
            except RuntimeError as error:  # such as a backward() within the loss
                raise CheckFailed(f"the value is right, but its gradient fails: {error}") from error
            # float32 errs by 1e-6; NaN is no gradient, either
            if not (got - expected).abs().max() <= 1e-3 * expected.abs().max():
                raise CheckFailed(
                    "the value is right, but a part of the loss has no gradient: .item(), .detach(), .data "
                    "or torch.no_grad() cut it off."
                )
        return answered


def gradient(loss: Tensor, f: nn.Module) -> Tensor:
    """Return the gradient of a loss for the weights of f, in one row; 0 for a weight that is not used."""
    weights = list(f.parameters())
    found = torch.autograd.grad(loss, weights, retain_graph=True, allow_unused=True)
    parts = [torch.zeros_like(w) if g is None else g for w, g in zip(weights, found, strict=True)]
    return torch.cat([part.flatten() for part in parts])


class _Filter(nn.Module):
    """Stand for the network or the blur: a small filter, for a network followed by a bend."""

    def __init__(self, generator: torch.Generator, trained: bool):
        super().__init__()
        self.weight = nn.Parameter(torch.randn((1, 1, 3, 3), generator=generator), trained)

    def forward(self, x: Tensor) -> Tensor:
        y = nn.functional.conv2d(x, self.weight, padding=1)
        return y.tanh() if self.weight.requires_grad else y


def scene(shape: tuple[int, ...], seed: int) -> tuple:
    """Return f, g, x, x_hidden and mask, as the losses take them."""
    generator = torch.Generator().manual_seed(seed)
    f, g = _Filter(generator, True), _Filter(generator, False)
    x, noise = (torch.randn(shape, generator=generator) for _ in range(2))
    mask = torch.rand(shape, generator=generator) < 0.2
    return f, g, x, torch.where(mask, 0.2 * noise, x), mask


def mean_at(values: Tensor, mask: Tensor | None = None) -> float:
    """Return the mean of the values, or of those where the mask is True, one by one."""
    hits = [True] * values.numel() if mask is None else mask.flatten().tolist()
    chosen = [v for v, hit in zip(values.flatten().tolist(), hits, strict=True) if hit]
    return sum(chosen) / len(chosen)


def _hide_inputs(shape, seed):
    generator = torch.Generator().manual_seed(seed)
    x, noise = (torch.randn(shape, generator=generator) for _ in range(2))
    return x, torch.rand(shape, generator=generator) < 0.2, 0.2 * noise


def _hide(x, mask, noise):
    hidden = x.clone()
    for place in mask.nonzero().tolist():
        hidden[tuple(place)] = noise[tuple(place)]
    return hidden


def _hide_solved(x, mask, noise):
    return torch.where(mask, noise, x)


#: x_{J^c}: x, with noise in place of the pixels J.
hide = OfTensors(
    "the input with hidden pixels",
    _hide,
    (_hide_inputs((1, 1, 9, 7), 0), _hide_inputs((2, 1, 6, 6), 1)),
    {
        "mask and its complement are exchanged: J is where the mask is True; the noise belongs there.": (
            lambda x, mask, noise: torch.where(mask, x, noise)
        ),
        "the noise is added to the hidden pixels; it must replace them, or they are not hidden.": (
            lambda x, mask, noise: x + mask * noise
        ),
        "the hidden pixels are 0; the noise is missing.": lambda x, mask, noise: x * ~mask,
        "the noise is multiplied by 0.2 once more; its standard deviation is 0.2 already.": (
            lambda x, mask, noise: torch.where(mask, 0.2 * noise, x)
        ),
        "the hidden pixels take the image's mean; the noise belongs there.": (
            lambda x, mask, noise: torch.where(mask, x.mean(), x)
        ),
        "every pixel is replaced by noise; only those where the mask is True are hidden.": (
            lambda x, mask, noise: noise
        ),
        "the visible pixels are 0; they keep the values of x.": lambda x, mask, noise: mask * noise,
        "noise is added to every pixel; only those where the mask is True change.": (
            lambda x, mask, noise: x + noise
        ),
        "the product of the hidden pixels and the noise still tells their values: replace them.": (
            lambda x, mask, noise: torch.where(mask, x * noise, x)
        ),
        "noise is added to the visible pixels, too; they keep the values of x.": (
            lambda x, mask, noise: x * ~mask + noise
        ),
        "nothing is hidden: that is x itself.": lambda x, mask, noise: x,
    },
    solution=_hide_solved,
)

#: What each candidate of notebook 04 gives at J, from x, J and noise; f is any network.
_CANDIDATES = {
    "A": lambda f, g, x, J, e: g(f(torch.where(J, e, x))),
    "B": lambda f, g, x, J, e: f(torch.where(J, x + e, x)),
    "C": lambda f, g, x, J, e: f(torch.where(J, x.roll(1, -1), x)),
    "D": lambda f, g, x, J, e: f(torch.where(J, e, x)) + 0.1 * x,
    "E": lambda f, g, x, J, e: f(x),
}
_REASONS = {
    "A": "A is J-invariant: no hidden value enters f, and g sees only what f gives.",
    "B": "B is not: noise on top of a value does not hide it; the input still depends on it.",
    "C": "C is J-invariant: the hidden pixel takes its neighbour's value, and that one is not hidden.",
    "D": "D is not: its last term adds a tenth of the hidden pixel itself, past f.",
    "E": "E is not: nothing is hidden from f. This is how the trained network is used.",
}


def _by_changing_hidden_pixels() -> list[bool]:
    """Tell the J-invariant candidates: their output at J stays when the input changes at J alone."""
    f, g, x, _, _ = scene((1, 1, 12, 12), 8)
    J = torch.zeros(x.shape, dtype=torch.bool)
    J[..., 1::4, 1::4] = True
    other, e = torch.where(J, x + 1, x), torch.zeros(x.shape)
    with torch.no_grad():
        pairs = [[h(f, g, z, J, e)[J] for z in (x, other)] for h in _CANDIDATES.values()]
    return [torch.equal(first, second) for first, second in pairs]


class Choices(Exercise):
    """An exercise that asks for True or False for each of several candidates."""

    def _outcome(self, answered, given):
        if not isinstance(answered, dict) or set(answered) != set(_REASONS):
            raise CheckFailed(f"Expected a dictionary with the keys {', '.join(_REASONS)}.")
        left = [name for name, value in answered.items() if value not in (True, False)]
        if left:
            raise CheckFailed(f"Fill in True or False for {', '.join(left)}.")
        for name, truth in zip(_REASONS, self.oracle(), strict=True):
            if bool(answered[name]) != truth:
                raise CheckFailed(_REASONS[name])
        return [bool(answered[name]) for name in _REASONS]


#: Which of the candidates are J-invariant.
j_invariant = Choices("J-invariance", _by_changing_hidden_pixels, ((),), {})


def _blind_spot_solved(f, g, x, x_hidden, mask):
    difference = g(f(x_hidden)) - x
    return (difference[mask] ** 2).mean()


#: Eq. 2: the mean of (g(f(x_{J^c})) - x)^2 over the pixels J.
blind_spot_loss = OfLosses(
    "the blind-spot loss",
    lambda f, g, x, x_hidden, mask: mean_at((g(f(x_hidden)) - x) ** 2, mask),
    (scene((1, 1, 9, 7), 2), scene((2, 1, 6, 6), 3)),
    {
        "the network sees x itself, so nothing is hidden from it: x_hidden is its input.": (
            lambda f, g, x, xh, m: ((g(f(x)) - x)[m] ** 2).mean()
        ),
        "that compares with the noise that hides the pixels; compare with x, the measurement.": (
            lambda f, g, x, xh, m: ((g(f(xh)) - xh)[m] ** 2).mean()
        ),
        "g is missing: f estimates the sharp image, and x is blurred.": (
            lambda f, g, x, xh, m: ((f(xh) - x)[m] ** 2).mean()
        ),
        "g comes after f: the network's estimate is blurred, not its input.": (
            lambda f, g, x, xh, m: ((f(g(xh)) - x)[m] ** 2).mean()
        ),
        "that compares the two passes; the blind-spot loss compares the masked pass with x.": (
            lambda f, g, x, xh, m: ((g(f(xh)) - g(f(x)))[m] ** 2).mean()
        ),
        "x is blurred once more; the measurement is blurred already.": (
            lambda f, g, x, xh, m: ((g(f(xh)) - g(x))[m] ** 2).mean()
        ),
        "the mask is ignored: that is the mean over all pixels, which also rewards copying.": (
            lambda f, g, x, xh, m: ((g(f(xh)) - x) ** 2).mean()
        ),
        "mask and its complement are exchanged: that is the mean over the visible pixels.": (
            lambda f, g, x, xh, m: ((g(f(xh)) - x)[~m] ** 2).mean()
        ),
        "the sum is divided by all pixels, not by those in J: the unmasked zeros count too.": (
            lambda f, g, x, xh, m: ((g(f(xh)) - x) ** 2 * m).mean()
        ),
        "the mask is applied to the images, not to their difference, so that zeros count too.": (
            lambda f, g, x, xh, m: ((g(f(xh)) * m - x) ** 2).mean()
        ),
        "that is the sum over J; the mean divides it by the number of pixels in J.": (
            lambda f, g, x, xh, m: ((g(f(xh)) - x)[m] ** 2).sum()
        ),
        "that is the norm, the root of the sum of squares; the loss is the mean of the squares.": (
            lambda f, g, x, xh, m: (g(f(xh)) - x)[m].norm()
        ),
        "the root is not needed: the blind-spot loss is the mean square itself.": (
            lambda f, g, x, xh, m: ((g(f(xh)) - x)[m] ** 2).mean().sqrt()
        ),
        "that is the mean absolute difference; the loss squares it.": (
            lambda f, g, x, xh, m: (g(f(xh)) - x)[m].abs().mean()
        ),
        "the mean was squared; square each pixel's difference first, or the differences cancel.": (
            lambda f, g, x, xh, m: (g(f(xh)) - x)[m].mean() ** 2
        ),
        "nothing is squared, so that differences of both signs cancel.": (
            lambda f, g, x, xh, m: (g(f(xh)) - x)[m].mean()
        ),
        "parentheses are missing: the square belongs to the difference, not to x alone.": (
            lambda f, g, x, xh, m: (g(f(xh))[m] - x[m] ** 2).mean()
        ),
    },
    solution=_blind_spot_solved,
)


class _Line(nn.Module):
    """A network of two weights."""

    def __init__(self, slope: float, offset: float):
        super().__init__()
        self.weights = nn.Parameter(torch.tensor([slope, offset]))

    def forward(self, x: Tensor) -> Tensor:
        return self.weights[0] * x + self.weights[1]


def _halved(image: Tensor) -> Tensor:
    return image / 2


def _some_loss(f, g, x, x_hidden, mask) -> Tensor:
    return ((g(f(x_hidden)) - x)[mask] ** 2).mean() + 0.1 * (g(f(x)) ** 2).mean()


class Fits(Exercise):
    """An exercise whose result is a training: its losses and the weights that it ends with are compared."""

    def _outcome(self, answered, given):
        f, batches = given[0], given[3]
        weights = [v for p in f.parameters() for v in p.detach().flatten().tolist()]
        if isinstance(answered, np.ndarray):
            if answered.size == len(batches) + len(weights):  # of a known mistake
                return answered
            answered = answered.tolist()
        if not isinstance(answered, list):
            raise CheckFailed(f"Expected the list of the losses, got {type(answered).__name__}.")
        if any(isinstance(value, Tensor) for value in answered):
            raise CheckFailed(
                "the history holds tensors, each with the whole step behind it, which fills the memory: "
                ".item() takes the number out."
            )
        if any(map(np.ndim, answered)):
            raise CheckFailed(
                "the history holds lists or arrays; expected one number for each batch."
            )
        if len(answered) != len(batches):
            raise CheckFailed(
                f"the history has {len(answered)} losses after {len(batches)} batches; expected one for each."
            )
        return [*answered, *weights]


def _batches(seed: int, steps: int) -> list[tuple]:
    return [scene((1, 1, 6, 6), 100 * seed + step)[2:] for step in range(steps)]


def _by_hand(f, g, loss, batches, rate) -> np.ndarray:
    """Train with Adam as Kingma and Ba print it (2015, algorithm 1)."""
    weights, history = list(f.parameters()), []
    m, v = ([torch.zeros_like(w) for w in weights] for _ in range(2))
    for t, batch in enumerate(batches, start=1):
        value = loss(f, g, *batch)
        history.append(value.item())
        for i, gradient in enumerate(torch.autograd.grad(value, weights)):
            m[i] = 0.9 * m[i] + 0.1 * gradient
            v[i] = 0.999 * v[i] + 0.001 * gradient**2
            step = m[i] / (1 - 0.9**t) / ((v[i] / (1 - 0.999**t)).sqrt() + 1e-8)
            weights[i].data -= rate * step
    return np.array([*history, *(w for p in weights for w in p.detach().flatten().tolist())])


def _wrong_order(*order, loss_of=None, anew=False, after=False, sign=1):
    """Return a training that does these things in this order in each step."""

    def trained(f, g, loss, batches, rate):
        optimizer, history = torch.optim.Adam(f.parameters(), lr=rate), []
        for batch in batches:
            if anew:
                optimizer = torch.optim.Adam(f.parameters(), lr=rate)
            value = (loss_of or loss)(f, g, *batch)
            back = (sign * value).backward
            does = {"zero": optimizer.zero_grad, "back": back, "step": optimizer.step}
            for name in order:
                does[name]()
            history.append((loss(f, g, *batch) if after else value).item())
        return np.array([*history, *f.weights.tolist()])

    return trained


def _one_step_at_the_end(f, g, loss, batches, rate):
    optimizer, history = torch.optim.Adam(f.parameters(), lr=rate), []
    for batch in batches:
        value = loss(f, g, *batch)
        optimizer.zero_grad()
        value.backward()
        history.append(value.item())
    optimizer.step()
    return np.array([*history, *f.weights.tolist()])


def _without_the_last_step(f, g, loss, batches, rate):
    result = _by_hand(copy.deepcopy(f), g, loss, batches, rate)
    last = _by_hand(f, g, loss, batches[:-1], rate)
    return np.array([*result[: len(batches)], *last[len(batches) - 1 :]])


_RIGHT = ("zero", "back", "step")
#: A training: in each step the loss of a batch, its gradients, and a step of Adam.
fit = Fits(
    "the training loop",
    _by_hand,
    (
        (_Line(0.3, 0.1), _halved, _some_loss, _batches(1, 4), 0.05),
        (_Line(-0.5, 0.7), _halved, _some_loss, _batches(2, 3), 0.01),
    ),
    {
        "zero_grad() is missing: the gradients of all former steps are added to each new one.": (
            _wrong_order("back", "step")
        ),
        "the weights do not change. backward() fills the gradients, step() changes the weights by them, and "
        "zero_grad() between the two would empty the gradients again.": _wrong_order(
            "zero", "back"
        ),
        "step() is called once, after the loop; it belongs into the loop: see the indentation.": (
            _one_step_at_the_end
        ),
        "step() comes before backward(), so that each step is made with the former batch's gradients.": (
            _wrong_order("step", "zero", "back")
        ),
        "the step of the last batch is missing: step() comes after backward(), for the same batch.": (
            _without_the_last_step
        ),
        "the optimiser is made anew in each step and forgets its running means: make it before the loop.": (
            _wrong_order(*_RIGHT, anew=True)
        ),
        "x is given to the loss twice; the network would see what should be hidden: x, then x_hidden.": (
            _wrong_order(*_RIGHT, loss_of=lambda f, g, x, xh, m: _some_loss(f, g, x, x, m))
        ),
        "x and x_hidden are exchanged: the loss takes f, g, x, x_hidden, mask.": (
            _wrong_order(*_RIGHT, loss_of=lambda f, g, x, xh, m: _some_loss(f, g, xh, x, m))
        ),
        "the loop has a loss of its own; `loss` is an argument, so that it can train with any.": (
            _wrong_order(*_RIGHT, loss_of=lambda f, g, x, xh, m: ((g(f(xh)) - x)[m] ** 2).mean())
        ),
        "the sign is reversed: the weights move so that the loss grows.": (
            _wrong_order(*_RIGHT, sign=-1)
        ),
        "the history is right but for the time: it holds each loss after the step, not before it.": (
            _wrong_order(*_RIGHT, after=True)
        ),
    },
)


def _two_terms(f, g, x, x_hidden, mask, lambda_inv):
    unmasked, masked = g(f(x)), g(f(x_hidden))
    return (
        mean_at((unmasked - x) ** 2) + lambda_inv * mean_at((unmasked - masked) ** 2, mask) ** 0.5
    )


def _wrong_terms(rec=None, inv=None):
    """Return the loss with another first or second term, of x, J, and the two outputs after and before g."""

    def wrong(f, g, x, xh, m, w):
        outputs = (x, m, g(f(x)), g(f(xh)), f(x), f(xh))
        first = (rec or (lambda x, m, a, b, *d: ((a - x) ** 2).mean()))(*outputs)
        return first + (inv or (lambda w, x, m, a, b, *d: w * rms((a - b)[m])))(w, *outputs)

    return wrong


def rms(values: Tensor) -> Tensor:
    """Return the root mean square."""
    return (values**2).mean().sqrt()


def wrong_invariances(of) -> dict:
    """Return mistakes in an invariance term; `of` builds the loss from the term."""
    terms = {
        "the root is missing in the invariance: that is the mean square.": (
            lambda w, a, b, m: w * ((a - b)[m] ** 2).mean()
        ),
        "the invariance ignores the mask: the two outputs are compared at J only.": (
            lambda w, a, b, m: w * rms(a - b)
        ),
        "mask and its complement are exchanged: the invariance compares the visible pixels.": (
            lambda w, a, b, m: w * rms((a - b)[~m])
        ),
        "the invariance divides the sum by all pixels, not by |J|, the number of hidden ones.": (
            lambda w, a, b, m: w * rms((a - b) * m)
        ),
        "the invariance lacks |J|: the root of the sum grows with the number of hidden pixels.": (
            lambda w, a, b, m: w * ((a - b)[m] ** 2).sum().sqrt()
        ),
        "|J| is outside the root; divide first, then take the root.": (
            lambda w, a, b, m: w * ((a - b)[m] ** 2).sum().sqrt() / m.sum()
        ),
        "the root is taken of each pixel, which makes a mean absolute difference; take it of the mean.": (
            lambda w, a, b, m: w * (a - b)[m].abs().mean()
        ),
        "the lambda is an argument; a fixed 2 is used in its place.": (
            lambda w, a, b, m: 2 * rms((a - b)[m])
        ),
        "the lambda is inside the root; it multiplies the whole term.": (
            lambda w, a, b, m: (w * ((a - b)[m] ** 2).mean()).sqrt()
        ),
        "the mean is squared; the invariance takes its root.": (
            lambda w, a, b, m: w * ((a - b)[m] ** 2).mean() ** 2
        ),
        "the invariance takes the standard deviation, which subtracts the mean difference first.": (
            lambda w, a, b, m: w * (a - b)[m].std()
        ),
        "the invariance is missing: that is the reconstruction alone.": lambda w, a, b, m: 0 * w,
    }
    return {hint: of(term) for hint, term in terms.items()}


def _two_pass_solved(f, g, x, x_hidden, mask, lambda_inv):
    unmasked = g(f(x))
    masked = g(f(x_hidden))
    rec = ((unmasked - x) ** 2).mean()
    inv = ((unmasked - masked)[mask] ** 2).mean().sqrt()
    return rec + lambda_inv * inv


#: Eq. 3 without its boundary term: reconstruction, and invariance after the PSF.
two_pass_loss = OfLosses(
    "the loss of two passes",
    _two_terms,
    ((*scene((1, 1, 9, 7), 4), 3.0), (*scene((2, 1, 6, 6), 5), 0.5)),
    wrong_invariances(lambda term: _wrong_terms(inv=lambda w, x, m, a, b, *d: term(w, a, b, m)))
    | {
        "the invariance compares f(x) before the blur; here both outputs are blurred first.": (
            _wrong_terms(inv=lambda w, x, m, a, b, c, d: w * rms((c - d)[m]))
        ),
        "the invariance compares an output with the measurement; it compares the two outputs.": (
            _wrong_terms(inv=lambda w, x, m, a, b, *d: w * rms((b - x)[m]))
        ),
        "the invariance compares one output with the measurement; it compares the two outputs.": (
            _wrong_terms(inv=lambda w, x, m, a, b, *d: w * rms((a - x)[m]))
        ),
        "the reconstruction is a mean over all pixels, not over J alone.": (
            _wrong_terms(lambda x, m, a, b, *d: ((a - x)[m] ** 2).mean())
        ),
        "the reconstruction takes the unmasked pass, g(f(x)), not the masked one.": (
            _wrong_terms(lambda x, m, a, b, *d: ((b - x) ** 2).mean())
        ),
        "the first term is the blind-spot loss; the reconstruction takes g(f(x)), at all pixels.": (
            _wrong_terms(lambda x, m, a, b, *d: ((b - x)[m] ** 2).mean())
        ),
        "g is missing in the reconstruction: f(x) is sharp, x is blurred.": (
            _wrong_terms(lambda x, m, a, b, c, d: ((c - x) ** 2).mean())
        ),
        "g comes after f: g(f(x)), the estimate is blurred, not the network's input.": (
            lambda f, g, x, xh, m, w: ((f(g(x)) - x) ** 2).mean() + w * rms((f(g(x)) - f(g(xh)))[m])
        ),
        "the reconstruction is a mean square, without a root.": (
            _wrong_terms(lambda x, m, a, b, *d: rms(a - x))
        ),
        "the reconstruction is a mean over the pixels, not a sum.": (
            _wrong_terms(lambda x, m, a, b, *d: ((a - x) ** 2).sum())
        ),
        "the mean difference is squared; square each pixel's, or those of both signs cancel.": (
            _wrong_terms(lambda x, m, a, b, *d: (a - x).mean() ** 2)
        ),
        "the lambda multiplies both terms; it belongs to the invariance alone.": (
            lambda f, g, x, xh, m, w: w * _two_pass_solved(f, g, x, xh, m, 1)
        ),
        "the reconstruction is missing: two outputs may agree and both be wrong.": (
            _wrong_terms(lambda x, m, a, b, *d: 0 * a.mean())
        ),
        "the root belongs to the invariance alone, not to the sum of both terms.": (
            lambda f, g, x, xh, m, w: (
                ((g(f(x)) - x) ** 2).mean() + w * ((g(f(x)) - g(f(xh)))[m] ** 2).mean()
            ).sqrt()
        ),
    },
    solution=_two_pass_solved,
)

# each rule of thumb picks another one of these runs
_SIGMA = 0.3
_RECS = _SIGMA**2 + np.array([-0.010, -0.006, -0.003, 0.0005, 0.04, 0.009, 0.1, 0.002])
_INVS = np.array([0.2, 0.026, 0.018, 0.05, 0.0001, 0.003, 0.3, 0.012])


def _bounds(rec, inv, sigma):
    return [r - sigma**2 + 2 * sigma * i for r, i in zip(rec, inv, strict=True)]


def _choose_solved(rec, inv, sigma):
    return np.argmin(rec - sigma**2 + 2 * sigma * inv)


#: Index of the run whose error is surely the smallest: the lowest bound.
choose_run = Exercise(
    "the choice of a run",
    lambda rec, inv, sigma: min(
        range(len(rec)), key=lambda k: _bounds(rec.tolist(), inv.tolist(), sigma)[k]
    ),
    ((_RECS, _INVS, _SIGMA), (_RECS[::-1].copy(), _INVS[::-1].copy(), _SIGMA)),
    {
        "the smallest reconstruction loss belongs to the run that has copied the most noise.": (
            lambda rec, inv, sigma: int(np.argmin(rec))
        ),
        "the smallest invariance loss says that the passes agree, not that they are right.": (
            lambda rec, inv, sigma: int(np.argmin(inv))
        ),
        "that is the run with the largest bound; a small one is wanted.": (
            lambda rec, inv, sigma: int(np.argmax(_bounds(rec, inv, sigma)))
        ),
        "that is the run whose L_rec is nearest to sigma^2. Copied noise makes up for what is missing there: "
        "L_inv must count too.": lambda rec, inv, sigma: int(np.argmin(np.abs(rec - sigma**2))),
        "the bound takes no absolute value: an L_rec below sigma^2 makes it lower.": (
            lambda rec, inv, sigma: int(np.argmin(np.abs(rec - sigma**2) + 2 * sigma * inv))
        ),
        "L_inv counts for too much: the bound weights it by 2 sigma.": (
            lambda rec, inv, sigma: int(np.argmin(rec + inv))
        ),
        "the factor 2 before sigma is missing, and more copied noise seems to be worth it.": (
            lambda rec, inv, sigma: int(np.argmin(rec + sigma * inv))
        ),
        "the bound itself is returned; wanted is the index of the run.": (
            lambda rec, inv, sigma: min(_bounds(rec, inv, sigma))
        ),
        "all bounds are returned; wanted is the index of the run.": (
            lambda rec, inv, sigma: np.array(_bounds(rec, inv, sigma))
        ),
    },
    solution=_choose_solved,
)
