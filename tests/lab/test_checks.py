"""Every exercise: its stub fails, its solution passes, and each plausible wrong answer gets its own hint."""

import importlib
import warnings
from pathlib import Path

import jupytext
import numpy as np
import pytest
import torch
from scipy.ndimage import uniform_filter
from scipy.signal import correlate, fftconvolve
from skimage.measure import block_reduce

from siamdecon import PSFConvolution, score
from siamdecon.lab import checks
from siamdecon.lab.checks import CheckFailed, Exercise
from siamdecon.lab.checks.mutants import mutants
from siamdecon.microscope import residual
from tests.lab.wrong_answers.siamese import trained

ROOT = Path(__file__).resolve().parents[2]
EXERCISES = {name: e for name, e in vars(checks).items() if isinstance(e, Exercise)}
BANK = {}
for path in sorted((ROOT / "tests" / "lab" / "wrong_answers").glob("[a-z]*.py")):
    BANK |= importlib.import_module(f"tests.lab.wrong_answers.{path.stem}").BANK


def written() -> dict[str, tuple[str, str, str]]:
    """Return each exercise's stub, solution and check, as the notebooks' sources have them."""
    found = {}
    for source in sorted((ROOT / "notebooks" / "source").glob("*.py")):
        cells = [c for c in jupytext.read(source, fmt="py:percent").cells if c.cell_type == "code"]
        tags = [cell.metadata.get("tags", []) for cell in cells]
        for i, cell in enumerate(cells):
            if "task" in tags[i]:
                assert "solution" in tags[i + 1], f"{source.name}: a task without its solution"
                # a cell between them may show what the function does
                check = next(c.source for c in cells[i + 2 :] if c.source.startswith("checks."))
                name = check.removeprefix("checks.").split("(")[0]
                found[name] = (cell.source, cells[i + 1].source, check)
    return found


WRITTEN = written()


def answer(source: str):
    """Run a cell that defines a function, and return the last one that it defines."""
    space = {"np": np, "torch": torch, "PSFConvolution": PSFConvolution, "residual": residual}
    exec(source, space)
    return [value for name, value in space.items() if callable(value) and name != "__builtins__"][
        -1
    ]


def test_every_exercise_has_a_notebook_a_bank_and_four_wrong_answers():
    assert set(WRITTEN) == set(EXERCISES) == set(BANK)
    assert all(len(wrong) >= 4 for wrong in BANK.values())


@pytest.mark.parametrize("name", EXERCISES)
def test_the_stub_fails_and_the_solution_passes(name, capsys):
    stub, solution, _ = WRITTEN[name]
    with pytest.raises(CheckFailed):
        EXERCISES[name](answer(stub))
    assert capsys.readouterr().out == ""
    EXERCISES[name](answer(solution))
    assert capsys.readouterr().out.endswith(": right.\n")


@pytest.mark.parametrize("name", EXERCISES)
def test_every_line_of_a_stub_occurs_in_its_solution(name):
    stub, solution, _ = WRITTEN[name]
    kept = solution.splitlines()
    if "..." not in stub:  # a fault to find: it is in one line
        lines = stub.splitlines()
        assert len(lines) == len(kept)
        assert sum(a != b for a, b in zip(lines, kept, strict=True)) == 1
        return
    for line in stub.splitlines():
        if "..." in line:
            start = line.split("...")[0].rstrip()
            assert any(other.startswith(start) for other in kept), line
        elif line.strip() and not line.strip().startswith("#"):
            assert line in kept, line


@pytest.mark.parametrize(
    ("name", "wrong", "hint"),
    [
        pytest.param(name, wrong, hint, id=f"{name}-{wrong.__name__}")
        for name, answers in BANK.items()
        for wrong, hint in answers
    ],
)
def test_a_wrong_answer_gets_its_own_hint(name, wrong, hint):
    with pytest.raises(CheckFailed) as failed:
        EXERCISES[name](wrong)
    assert hint in str(failed.value)
    assert sum(hint == other for _, other in BANK[name]) == 1, "hints must tell mistakes apart"


@pytest.mark.parametrize("name", EXERCISES)
def test_each_mistake_differs_from_the_right_answer(name):
    exercise = EXERCISES[name]
    for hint, mistake in exercise.mistakes.items():
        with pytest.raises(CheckFailed) as failed:
            exercise(mistake)
        assert hint in str(failed.value), f"another hint comes first: {failed.value}"


def _as_waves(kernel, shape):
    y, x = (np.arange(n) - n // 2 for n in kernel.shape)
    u, v = (np.fft.fftfreq(n) for n in shape)
    return np.exp(-2j * np.pi * np.outer(u, y)) @ kernel @ np.exp(-2j * np.pi * np.outer(x, v))


def _by_torch(image, kernel):
    image, weight = (torch.tensor(a.copy())[None, None] for a in (image, kernel[::-1, ::-1]))
    pad = [n // 2 for n in kernel.shape]
    return torch.nn.functional.conv2d(image, weight, padding=pad)[0, 0]


#: Right answers that are written otherwise than the solutions.
OTHERWISE = {
    "lucy_richardson_update": [
        lambda e, m, b, c: e * c(m / b(e)) / c(np.ones_like(e)),  # exact with zeros beyond the border
        lambda e, m, b, c: e * c(m / np.maximum(b(e), 1e-12)),
        lambda e, m, b, c: e + e * (c(m / b(e)) - 1),
    ],
    "fit": [
        lambda *given: np.array(trained(*given)),
        lambda *given: np.array(trained(*given), dtype=np.float32),
    ],
    "landweber_update": [
        lambda e, m, b, c: (e - c(b(e) - m)).clip(0),
        lambda e, m, b, c: np.where(e + c(m) - c(b(e)) > 0, e + c(m) - c(b(e)), 0),
    ],
    "stop": [
        lambda s, n: next(i for i, v in enumerate(s, 1) if not v > n),
        lambda s, n: 1 + sum(np.array(s) > n),
    ],
    "camera": [
        lambda b, r, a, s: np.rint(np.clip(b + r * (s**2 + a * b) ** 0.5, 0, 1) * 1024) / 1024,
        lambda b, r, a, s: (1024 * (b + np.hypot(np.sqrt(a * b), s) * r)).round().clip(0, 1024) / 1024,
    ],
    "largest_pixel": [lambda w, na: 0.5 / (2 * na / w), lambda w, na: w / na / 4],
    "defocus_phase": [
        lambda r, z, na, n, w: np.exp(1j * z * ((2 * np.pi / w) ** 2 * (n**2 - na**2 * r**2)) ** 0.5),
    ],
    "transfer_function": [_as_waves],
    "fft_convolve": [
        lambda x, k: fftconvolve(x, k, mode="same"),
        _by_torch,
    ],
    "transpose": [
        lambda x, k, c: c(x, np.flip(k)),
        lambda x, k, c: c(x[::-1, ::-1], k)[::-1, ::-1],
        lambda x, k, c: correlate(x, k, mode="same"),
    ],
    "residual": [lambda y, x, g: -(g(x) - y), lambda y, x, g: torch.from_numpy(y - g(x))],
    "best_estimate": [
        lambda clean, c: int(np.argmax([-np.linalg.norm(e - clean) for e in c])),
        lambda clean, c: min(range(len(c)), key=lambda i: ((c[i] - clean) ** 2).sum()),
        lambda clean, c: np.argmax([score(clean, e)["psnr"] for e in c]),
    ],
    "psnr": [
        lambda c, e: -20 * np.log10(np.linalg.norm(c - e.clip(0, 1)) / c.size**0.5),
        lambda c, e: -10 * np.log10(np.mean((c - np.minimum(np.maximum(e, 0), 1)) ** 2)),
    ],
    "relative_power": [
        lambda r, s, ring: np.mean(np.abs(np.fft.fft2(r, norm="ortho")[ring] / s) ** 2),
        lambda r, s, ring: np.linalg.norm(np.fft.fft2(r)[ring]) ** 2 / ring.sum() / r.size / s / s,
    ],
    "ring_correlation": [
        lambda a, b, m: np.vdot(a[m], b[m]).real / np.linalg.norm(a[m]) / np.linalg.norm(b[m]),
        lambda a, b, m: (a.conj() * b).real[m].mean()
        / np.prod([np.mean(abs(f[m]) ** 2) ** 0.5 for f in (a, b)]),
    ],
    "judge": [
        lambda own, second, coarse: "structure left" if coarse > 1.15
        else "noise fitted" if second - own > 0.05 else "consistent",
        lambda own, second, coarse: "structure left" if coarse > 1.4
        else "noise fitted" if second / own > 1.07 else "consistent",
    ],
    "shrink": [
        lambda a, n: block_reduce(a[: len(a) // n * n, : a.shape[1] // n * n], (n, n), np.mean),
        lambda a, n: [[a[i : i + n, j : j + n].mean() for j in range(0, a.shape[1] - n + 1, n)]
                      for i in range(0, len(a) - n + 1, n)],
    ],
    "training_pair": [
        lambda e, shrink, blur, noise: (noise(blur(shrink(e))), shrink(e)),
        lambda e, shrink, blur, noise: np.array([noise(blur(shrink(e))), shrink(e)]),
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", OTHERWISE)
def test_an_answer_that_is_written_otherwise_is_right(name):
    for answer in OTHERWISE[name]:
        EXERCISES[name](answer)


#: Wrong answers that agree with a right one on most data.
NEARLY = {
    "allowed": [
        lambda kernel, turn, most=most: (
            turn(kernel).shape == kernel.shape and np.allclose(turn(kernel), kernel, atol=most)
        )
        for most in (0.5, 0.1, 0.02)
    ],
    "choose_run": [lambda rec, inv, sigma: np.argmin(abs(rec**0.5 - sigma) + inv)],
}


@pytest.mark.parametrize("name", NEARLY)
def test_an_answer_that_is_nearly_right_is_refused(name):
    for answer in NEARLY[name]:
        with pytest.raises(CheckFailed):
            EXERCISES[name](answer)


#: Parts of a loss of two passes, right in value, that a network can't learn from.
CUT = (
    "inv.item()",
    "inv.detach()",
    "rec.item()",
    "masked.detach()",
    "unmasked.detach()",
    "masked.data",
)
LOSSES = {
    "two_pass_loss": ("g(f(x))", "g(f(x_hidden))", "unmasked"),
    "noise2same_d_loss": ("f(x)", "f(x_hidden)", "g(unmasked)"),
}


def loss_of_two_passes(name: str, cut: str = "") -> str:
    """Return the source of a right loss, or of one with a part that has no gradient."""
    first, second, blurred = LOSSES[name]
    part = cut.split(".")[0]
    return f"""
def {name}(f, g, x, x_hidden, mask, weight):
    unmasked, masked = {first}, {second}
    rec = torch.nn.functional.mse_loss({blurred}, x)
    {f"{part} = {cut}" if part.endswith("masked") else ""}
    inv = torch.linalg.vector_norm((unmasked - masked)[mask]) / mask.sum() ** 0.5
    return {cut if part == "rec" else "rec"} + weight * {cut if part == "inv" else "inv"}
"""


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_that_a_part_cannot_learn_from_is_refused(name):
    EXERCISES[name](answer(loss_of_two_passes(name)))
    for cut in CUT:
        with pytest.raises(CheckFailed, match="the value is right, but a part of the loss has no"):
            EXERCISES[name](answer(loss_of_two_passes(name, cut)))
    backward = loss_of_two_passes(name).replace(
        "    return", "    (rec + inv).backward()\n    return"
    )
    with pytest.raises(CheckFailed, match="the value is right, but its gradient fails: Trying to"):
        EXERCISES[name](answer(backward))


class TestEngine:
    twice = Exercise("twice x", lambda x: 2 * x, ((np.arange(3.0),),), {"squared": lambda x: x**2})

    @pytest.mark.parametrize(
        ("wrong", "words"),
        [
            (5, "Expected a function, got int"),
            (lambda x: None, "Nothing to check yet"),
            (lambda x: ..., "Nothing to check yet"),
            (lambda x: x / None, "Your function raised TypeError"),
            (lambda x: "six", "Expected an array of numbers"),
            (lambda x: x[:2], r"expected an array of shape \(3,\), got an array of shape \(2,\)"),
            (lambda x: x * np.nan, "3 are NaN"),
            (lambda x: x**2, "Wrong values: squared"),
            (lambda x: 2 * x + x**3, r"largest difference is 8 at \(2,\), where 4 was expected"),
            (lambda x: 3 * x, "your result is 1.5 times the right one"),
            (lambda x: -2 * x, "the sign is reversed"),
            (lambda x: 2 * x - 1, "-1 is added to the right result, everywhere"),
            (lambda x: 0 * x, "the result is 0 everywhere"),
            (lambda x: (2 + 1j) * x, "its real part is right"),
            (lambda x: (x, 2 * x), "a tuple of 2"),
            (lambda x: 2 * x[::-1], "upside down"),
            (lambda x: (2 * x).mean(), "Wrong shape: of the right result, that is its mean"),
            (
                lambda x: np.append(2 * x[:2], 0),
                r"2 of 3 values are right; the first wrong one is at \(2,\)",
            ),
            (lambda x: x.clone(), "The arguments are NumPy arrays"),
            (lambda x: unknown, "Only the arguments and what the notebook has defined"),  # noqa: F821
            (lambda x: x if x > 1 else 2 * x, "no single truth value"),
            (lambda x: [1.0, 2.0] * x, "shapes of two arrays do not fit"),
            (lambda x: np.multiply(x, 2, out=x), "in place"),
        ],
    )
    def test_messages(self, wrong, words):
        with pytest.raises(CheckFailed, match=words):
            self.twice(wrong)

    def test_a_hint_for_an_index_is_a_guess(self):
        last = {"that is the last.": lambda x: x.size - 1}
        largest = Exercise(
            "the largest", lambda x: int(np.argmax(x)), ((np.arange(4.0) % 3,),), last
        )
        with pytest.raises(CheckFailed, match="Wrong values: possibly, that is the last"):
            largest(lambda x: 3)
        with pytest.raises(CheckFailed, match="expected one whole number"):
            largest(lambda x: x.max() / 3)

    def test_a_number_in_an_array_has_an_axis_too_many(self):
        mean = Exercise("a mean", np.mean, ((np.arange(4.0),), (np.arange(6.0),)), {})
        with pytest.raises(CheckFailed, match="an axis of length 1 too many"):
            mean(lambda x: np.mean(x, keepdims=True))

    def test_an_unfinished_stub_is_named(self):
        def half(x):
            y = ...
            return 2 * x + y

        def unused(x):
            y = ...  # noqa: F841
            return 2 * x

        with pytest.raises(
            CheckFailed, match=r"Nothing to check yet: `y = \.\.\.` is still to be written"
        ):
            self.twice(half)
        self.twice(unused)

    def test_a_wrong_border_is_named(self):
        image = np.random.default_rng(0).random((7, 9))
        blurred = Exercise(
            "a blur", lambda x: uniform_filter(x, 3, mode="nearest"), ((image,),), {}
        )
        with pytest.raises(CheckFailed, match="right inside, wrong within 1 pixel of the border"):
            blurred(lambda x: uniform_filter(x, 3, mode="constant"))

    def test_exchanged_arguments_are_named(self):
        arguments = (np.arange(4.0), np.arange(4.0) ** 2)
        less = Exercise("a difference of squares", lambda a, b: a**2 - 3 * b, (arguments,), {})
        with pytest.raises(CheckFailed, match="`q` and `p` are exchanged"):
            less(lambda q, p: p**2 - 3 * q)

    def test_complex_results_are_told_from_their_parts(self):
        phase = np.linspace(0.1, 2, 5)
        field = Exercise("a field", lambda x: 2 * np.exp(1j * x), ((phase,),), {})
        for wrong, words in (
            (lambda x: 2 * np.cos(x), "its real part"),
            (lambda x: 2 * np.sin(x), "its imaginary part"),
            (lambda x: x, "its phase alone"),
            (lambda x: 2 * np.exp(-1j * x), "its conjugate"),
            (lambda x: 2j * np.exp(1j * x), "0\\+1j times"),
        ):
            with pytest.raises(CheckFailed, match=words):
                field(wrong)

    def test_tensors_and_lists_are_numbers_too(self, capsys):
        self.twice(lambda x: torch.from_numpy(2 * x))
        self.twice(lambda x: [0.0, 2.0, 4.0])
        assert capsys.readouterr().out == 2 * "twice x: right.\n"

    def test_a_notebook_shows_the_message_alone(self):
        assert CheckFailed("hint")._render_traceback_() == ["Not yet. hint"]


def weighted(a, b, mask):
    rest = np.abs(a - b) ** 2 + 3 * (a + 1)
    return np.sqrt(np.mean(rest[mask], axis=0))


class TestMutants:
    INPUTS = tuple(
        (*np.random.default_rng(seed).uniform(1, 2, (2, 6)), np.arange(6) % (2 + seed) == 0)
        for seed in range(2)
    )

    @pytest.mark.parametrize(
        ("wrong", "words"),
        [
            (lambda a, b, m: np.sqrt(np.mean((abs(a - b) ** 2 + 3 * a + 1)[m])), "parentheses are missing"),
            (lambda a, b, m: np.sqrt(np.mean(abs(a - b) ** 2 + 3 * (a + 1))), r"`\[mask\]` is missing"),
            (lambda a, b, m: np.sqrt(np.mean((abs(a - b) ** 2 + 3 * (a + 1))[~m])), "mask is inverted"),
            (lambda a, b, m: np.sqrt(np.sum((abs(a - b) ** 2 + 3 * (a + 1))[m])), "`sum` stands where"),
            (lambda a, b, m: np.sqrt(np.mean((abs(a - b) ** 2 - 3 * (a + 1))[m] + 20)), "largest difference"),
            (lambda a, b, m: np.mean(np.sqrt((abs(a - b) ** 2 + 3 * (a + 1))[m])), "in the wrong order"),
            (lambda a, b, m: np.sqrt(np.mean((abs(a - b) + 3 * (a + 1))[m])), "a power is missing"),
            (lambda a, b, m: np.sqrt(np.mean((abs(a - b) ** 2 + a + 1)[m])), "factor `3` is missing"),
            (lambda a, b, m: np.sqrt(np.mean((abs(a - b) ** 2)[m])), r"term `3 \* \(a \+ 1\)` is missing"),
            (lambda a, b, m: np.sqrt(np.mean((abs(a - m) ** 2 + 3 * (a + 1))[m])), "`mask` stands where `b`"),
            (lambda a, b, m: np.sqrt(np.mean((abs(a + b) ** 2 + 3 * (a + 1))[m])), r"\+ where - belongs"),
            (lambda a, b, m: np.sqrt(np.mean((abs(a - b) ** 2 + 2 * (a + 1))[m])), "numbers is wrong: 2"),
        ],
    )  # fmt: skip
    def test_the_changed_place_is_named(self, wrong, words):
        exercise = Exercise("a sum", weighted, self.INPUTS, {}, solution=weighted)
        with pytest.raises(CheckFailed, match=words):
            exercise(wrong)

    def test_a_learner_sees_no_warning_of_a_mutant(self):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for exercise in filter(lambda e: e.solution, EXERCISES.values()):
                assert mutants.__wrapped__(exercise.solution)

    @pytest.mark.parametrize("name", [n for n, e in EXERCISES.items() if e.solution])
    def test_a_solution_is_right_and_a_mutant_that_is_not_gets_a_hint(self, name):
        exercise = EXERCISES[name]
        exercise(exercise.solution)
        if np.asarray(exercise.oracle(*exercise.inputs[0])).dtype.kind == "i":
            return  # an index may be right or wrong by chance
        for hint, mutant in mutants(exercise.solution):
            try:
                with np.errstate(all="ignore"):
                    exercise(mutant)
            except CheckFailed as failed:
                assert "largest difference" not in str(failed), hint
