"""Generated images, kernels and options, for every method and every function over arrays."""

import dataclasses
from pathlib import Path

import numpy as np
import torch

import siamdecon as sd
from benchmarks.stress import Lost, expected, finite
from siamdecon.files.images import Image
from siamdecon.methods import METHODS
from siamdecon.microscope.kernel import prepare_psf

TRIED = "generated images, kernels and options, every method, 2D and 3D"
HOLDS = "a finite result, or an error of ours that names the argument"
COUNT, SECONDS = 10000, 20

SIDES = (1, 2, 3, 4, 5, 7, 8, 15, 16, 17, 23, 24, 31, 32, 33, 40, 48, 64)
DTYPES = "u1 u2 u4 u8 i1 i2 i4 i8 f2 f4 f8 ? g c8 O U3 M8[s]".split()
STRANGE = (None, -1, 0, 1, 2.5, "3", True, float("nan"), float("inf"), (1, 2), [], {}, np.int64(3))


def attempt(rng: np.random.Generator, folder: Path) -> str:
    """Call one function with what a user might hand over."""
    call = rng.choice(
        ["deconvolve", "on disk", "function", "inspect", "compare", "train", "other"],
        p=[0.55, 0.1, 0.12, 0.06, 0.03, 0.04, 0.1],
    )
    n_dim = int(rng.choice([2, 3], p=[0.65, 0.35]))
    odd = rng.random() < 0.15  # now and then nothing fits
    image, psf = an_image(rng, n_dim, odd), a_kernel(rng, n_dim, odd)
    call = {"deconvolve": deconvolve, "on disk": on_disk, "function": function, "inspect": inspect,
            "compare": compare, "train": train, "other": other}[str(call)]  # fmt: skip
    try:
        call(rng, image, psf, folder)
    except Lost:
        raise
    except Exception as error:
        return expected(error)
    return "restored" if call not in (inspect, other) else "answered"


def deconvolve(rng, image, psf, folder) -> None:
    method = str(rng.choice(list(METHODS)))
    result = sd.deconvolve(image, psf, method, tier="test", progress=False, **options(rng, method))
    finite(result.image, np.shape(image))
    finite(result.residual, np.shape(image))
    if rng.random() < 0.2:
        result.save(
            folder / "out.tif", dtype=rng.choice([None, "source", "uint16", "float32", "x"])
        )


def on_disk(rng, image, psf, folder) -> None:
    shape = np.shape(image)
    sd.write_image(folder / "in.tif", image)
    able = [name for name in METHODS if METHODS[name].in_windows]
    method = str(rng.choice(able if rng.random() < 0.95 else list(METHODS)))
    given = options(rng, method)
    for name in ("stitch",) * (rng.random() < 0.9):
        given.pop(name, None)
    given |= {"dtype": "source"} if rng.random() < 0.2 else {}
    done = sd.deconvolve_file(
        folder / "in.tif", psf, folder / "out.tif", method, tier="test", progress=False, **given
    )
    pixels = np.asarray(sd.read_image(done))
    squeezed = tuple(n for n in shape[:-2] if n > 1) + tuple(shape[-2:])
    if pixels.shape != squeezed or not np.isfinite(pixels).all():
        raise Lost(f"{pixels.shape} came of {shape}, or not finite")


def function(rng, image, psf, folder) -> None:
    image = _in_unit_range(image) if rng.random() < 0.8 else image
    name = str(rng.choice(["wiener", "richardson_lucy", "total_variation"]))
    more = {k: v for k, v in options(rng, name).items() if k in METHODS[name].option_names()}
    if more.get("noise") == "auto":
        more.pop("noise")
    finite(getattr(sd, name)(image, psf, **more), np.shape(image))


def inspect(rng, image, psf, folder) -> None:
    str(sd.inspect(image, psf if rng.random() < 0.7 else None))


def compare(rng, image, psf, folder) -> None:
    methods = list(rng.choice([*METHODS, "magic"], int(rng.integers(0, 3))))
    found = sd.compare(image, psf, [str(m) for m in methods], tier="test", progress=False)
    for restored in found.images.values():
        finite(restored, np.shape(image))
    str(found), found.picture()


def train(rng, image, psf, folder) -> None:
    image = _in_unit_range(image) if rng.random() < 0.8 else image
    config = {name: pick(rng, name) for name in rng.choice(list(TRAINING), 3)}
    config = sd.TrainingConfig(**{"steps": 2, "batch_size": 1, "patch_size": 16} | config)
    run = sd.train(sd.UNet(n_dim=np.ndim(image), features=2), image, psf, config)
    finite(sd.predict(run, image, psf) if hasattr(sd, "predict") else _predict(run, image, psf),
           np.shape(image))  # fmt: skip


def _predict(run, image, psf):
    from siamdecon.network import predict

    return predict(run, image, psf)


def other(rng, image, psf, folder) -> None:
    """Call something other than a method."""
    which = int(rng.integers(9))
    if which == 0:
        found = (
            sd.score(_in_unit_range(image), np.roll(_in_unit_range(image), 1))
            if np.ndim(image)
            else {}
        )
        _numbers(found)
    elif which == 1:
        _numbers(sd.affine_score(image, np.roll(np.asarray(image), 1)))
    elif which == 2:
        finite(sd.degrade(_in_unit_range(image), psf, a_noise(rng)), np.shape(image))
    elif which == 3:
        kernel, _ = prepare_psf(psf, np.shape(image), center=bool(rng.random() < 0.5),
                                subtract_background=bool(rng.random() < 0.5))  # fmt: skip
        if not np.isfinite(kernel).all() or abs(kernel.sum() - 1) > 1e-6 or kernel.min() < 0:
            raise Lost(f"a kernel of sum {kernel.sum()}, lowest {kernel.min()}")
    elif which == 4:
        found = sd.psf_from_beads(image)
        if not np.isfinite(found.psf).all():
            raise Lost("a kernel of beads that is not finite")
        str(found)
    elif which == 5:
        name = str(rng.choice(["a.tif", "a.ome.tif", "a.png"]))
        done = sd.write_image(folder / name, image)
        written, read = np.asarray(image), np.asarray(sd.read_image(done))
        if read.dtype != written.dtype.newbyteorder("="):
            raise Lost(f"{read.dtype} came of {written.dtype}")
        if not np.array_equal(read.ravel(), written.ravel(), equal_nan=written.dtype.kind == "f"):
            raise Lost(f"other pixels came of {written.dtype} {written.shape} in {name}")
    elif which == 6:
        # a power may be 0, so what it is compared with may be 0 / 0
        sd.radial_power(image), sd.fourier_ring_correlation(image, np.roll(np.asarray(image), 1))
    elif which == 7:
        fields = [field.name for field in dataclasses.fields(sd.Microscope)]
        chosen = {str(name): pick(rng, "optics") for name in rng.choice(fields, 2)}
        microscope = sd.Microscope(**chosen)
        from siamdecon.microscope import gaussian, gibson_lanni, richards_wolf

        model = (gaussian, gibson_lanni, richards_wolf)[int(rng.integers(3))]
        kernel = model(microscope, int(rng.choice([2, 3])))
        if not np.isfinite(kernel).all() or abs(kernel.sum() - 1) > 1e-3:
            raise Lost(f"{microscope}: sum {kernel.sum()}")
    elif np.asarray(image).dtype.kind in "buif":  # torch has no tensor of others
        padding = pick(rng, "padding")
        x = torch.from_numpy(np.array(_in_unit_range(image), np.float32))[None, None]
        if (
            x.isfinite().all()
            and not sd.PSFConvolution(psf, x.ndim - 2, padding)(x).isfinite().all()
        ):
            raise Lost("a blurred image that is not finite")


def _numbers(found: dict) -> None:
    if not all(np.isfinite(v) or v == np.inf for v in found.values()):
        raise Lost(f"{found}")


def _in_unit_range(image):
    try:
        image = np.asarray(image, np.float64)
        if not np.isfinite(image).all():
            return image
        with np.errstate(all="ignore"):
            return ((image - image.min()) / (image.max() - image.min())).astype(np.float32)
    except (TypeError, ValueError):
        return image


def a_shape(rng, n_dim: int, odd: bool) -> tuple[int, ...]:
    if odd and rng.random() < 0.1:
        return tuple(int(n) for n in rng.choice([0, 1, 2, 5, 60], int(rng.integers(0, 5))))
    sides = SIDES if rng.random() < 0.25 else SIDES[8:]
    shape = [int(n) for n in rng.choice(sides, n_dim)]
    if n_dim == 3:
        shape[0] = min(shape[0], int(rng.choice([1, 2, 3, 4, 5, 9, 17, 24])))
    return tuple(shape)


def an_image(rng, n_dim: int, odd: bool):
    """Return an image of any kind, in any form that NumPy reads."""
    shape = a_shape(rng, n_dim, odd)
    kind = str(rng.choice(["counts", "noise", "spots", "steps", "ramp", "constant", "two", "huge"],
                          p=[0.35, 0.15, 0.15, 0.1, 0.05, 0.04, 0.06, 0.1]))  # fmt: skip
    grid = np.indices(shape).sum(axis=0) if shape else np.zeros(())
    x = {
        "counts": lambda: rng.poisson(10 + 200 * (np.sin(grid / 5) ** 2)),
        "noise": lambda: rng.normal(size=shape),
        "spots": lambda: (rng.random(shape) > 0.97) * 1000.0 + rng.normal(100, 3, shape),
        "steps": lambda: (grid // 8 % 2) * 100.0,
        "ramp": lambda: grid * 1.0,
        "constant": lambda: np.full(shape, rng.choice([0, 1, -3, 1e-30, 255])),
        "two": lambda: rng.integers(0, 2, shape),
        "huge": lambda: rng.normal(size=shape) * 10.0 ** float(rng.choice([-40, -20, 15, 30, 300])),
    }[kind]()
    x = np.asarray(x, np.float64)
    gain, offset = (
        10.0 ** rng.choice([-6, -3, 0, 0, 0, 3, 6]),
        rng.choice([0, 0, 0, 100, -1000, 1e9]),
    )
    x = gain * x + offset
    dtype = np.dtype(str(rng.choice(DTYPES if odd else DTYPES[:12])))
    with np.errstate(all="ignore"):
        if dtype.kind in "iu":
            info = np.iinfo(dtype)
            fits = rng.random() < 0.8 and x.size and np.isfinite(x).all() and np.ptp(x) > 0
            x = (x - x.min()) / np.ptp(x) * min(float(info.max), 4095) if fits else x
            x = x.clip(float(info.min), float(np.nextafter(float(info.max), 0)))
        x = np.asarray(x, dtype)  # a number by itself would be no array
    if x.size and dtype.kind == "f" and rng.random() < (0.2 if odd else 0.05):
        x.flat[int(rng.integers(x.size))] = rng.choice([np.nan, np.inf, -np.inf])
    if x.size and dtype.kind in "iuf" and rng.random() < 0.15:
        info = np.iinfo(dtype) if dtype.kind in "iu" else np.finfo(dtype)
        for _ in range(int(rng.integers(1, 4))):
            x.flat[int(rng.integers(x.size))] = rng.choice([info.max, info.min, 0])
    return in_form(rng, x, odd)


def in_form(rng, x: np.ndarray, odd: bool):
    """Return the same pixels in another memory layout, or as another type."""
    form = int(rng.integers(14 if odd else 8))
    if x.ndim and form == 1:
        return x.byteswap().view(x.dtype.newbyteorder()) if x.dtype.kind in "iuf" else x
    if x.ndim and form == 2:
        return x[::-1]
    if form == 3:
        return np.asfortranarray(x)
    if x.ndim and form == 4:
        return np.repeat(x, 2, axis=-1)[..., ::2]
    if form == 5:
        x.flags.writeable = False
        return x
    if form == 6 and x.dtype.kind in "iuf" and x.ndim in (2, 3):
        sizes = tuple(float(s) for s in rng.choice([0.1, 0.2, 0.5], x.ndim))
        return Image(x, "ZYX"[-x.ndim :], sizes if rng.random() < 0.7 else None)
    if form == 7 and x.ndim and x.dtype in (np.uint8, np.int16, np.int32, np.float32, np.float64):
        return torch.from_numpy(x.copy())
    if form == 8:
        return x.tolist()
    if form == 9:
        return np.ma.masked_array(x, rng.random(x.shape) < 0.1)
    if form == 10:
        return x[..., None]
    if form == 11 and x.ndim == 2:
        return x.view(np.matrix)
    if form == 12:
        return [None, "image.tif", 3.0, {"a": 1}][int(rng.integers(4))]
    return x


def a_kernel(rng, n_dim: int, odd: bool):
    """Return a kernel of any kind."""
    if odd and rng.random() < 0.1:
        n_dim = int(rng.choice([0, 1, 2, 3, 4]))
    sides = [int(n) for n in rng.choice([1, 3, 5, 7, 9, 17] if rng.random() < 0.8 else
                                        [1, 2, 4, 6, 8, 31, 65], n_dim)]  # fmt: skip
    if n_dim == 3:
        sides = [min(n, 17) for n in sides]
    grid = np.indices(sides) if sides else np.zeros(1)
    middle = [n // 2 for n in sides]
    square = sum((g - m) ** 2 for g, m in zip(grid, middle, strict=True)) if sides else np.ones(())
    square = np.asarray(square)
    kinds = ["gaussian", "box", "point", "random", "ring", "off", "corner", "zero", "negative",
             "nan", "tiny", "huge", "rounding", "background", "counts"]  # fmt: skip
    share = [0.3, 0.1, 0.1, 0.08, 0.06, 0.06, 0.03, 0.02, 0.03, 0.02, 0.05, 0.05, 0.04, 0.03, 0.03]
    kind = str(rng.choice(kinds, p=share))
    if kind in ("corner", "zero", "negative", "nan", "huge") and not odd and rng.random() < 0.8:
        kind = "gaussian"
    k = np.exp(-square / (2 * float(rng.choice([0.3, 1, 2, 5])) ** 2))
    if kind == "box":
        k = np.ones(sides)
    elif kind in ("point", "zero"):
        k = (square == 0) * float(kind == "point")
    elif kind == "random":
        k = rng.random(sides)
    elif kind == "ring":
        k = np.exp(-np.abs(np.sqrt(square) - 2))
    elif kind == "off" and sides:
        k = np.roll(k, 1, axis=-1)
    elif kind == "corner" and sides:
        k = np.fft.ifftshift(k)
    elif kind == "negative":
        k = k - 0.1
    elif kind == "nan":
        k = np.where(rng.random(k.shape) < 0.1, np.nan, k)
    elif kind == "tiny":
        k = k * 10.0 ** float(rng.choice([-320, -300, -45, -10]))
    elif kind == "huge":
        k = k * 10.0 ** float(rng.choice([10, 38, 300, 308]))
    elif kind == "rounding":
        k = k - 1e-17
    elif kind == "background":
        k = k + rng.normal(0.1, 0.003, k.shape)
    elif kind == "counts":
        return np.rint(1000 * k).astype(np.uint16)
    k = np.asarray(k, np.float64)
    k = k / k.sum() if rng.random() < 0.7 and kind not in ("tiny", "huge", "zero", "nan") else k
    with np.errstate(all="ignore"):
        k = k.astype(str(rng.choice(["f8", "f8", "f4", ">f4", "f2"])))
    return in_form(rng, k, odd)


def a_noise(rng):
    return sd.Noise(poisson=float(rng.choice([0, 0.01, 1])), gaussian=float(rng.choice([0, 0.1, 10])),
                    salt_and_pepper=float(rng.choice([0, 0.01, 1])),
                    clip=[True, False, "black", "white"][int(rng.integers(4))])  # fmt: skip


TRAINING = {
    "steps": (1, 2, 3),
    "batch_size": (1, 2, 3),
    "patch_size": (1, 2, 4, 8, 16, 32, 64),
    "learning_rate": (1e-4, 1e-3, 1.0, 1e10, 1e-300),
    "beta2": (0.0, 0.9, 0.999999),
    "schedule": ("step", "cosine"),
    "halve_every": (1, 100),
    "mask_percent": (1e-9, 0.5, 50, 100),
    "mask_sigma": (0.0, 0.2, 1e6),
    "padding": ("replicate", "valid", "symmetric", "zeros", "circular", "reflect", "odd"),
    "ema_decay": (0.0, 0.9, 0.99999),
    "precision": ("auto", "float32", "bfloat16", "float16"),
    "parts": (1, 2, 5),
}
POOLS = TRAINING | {
    "features": (1, 2, 4, 5),
    "weights": (sd.LossWeights.noise2self(), sd.LossWeights(lambda_inv=1.0), {"lambda_rec": 1}),
    "noise": ("auto", None, sd.PAPER_2D, sd.Noise(gaussian=0.1, clip=False)),
    "average_flips": (True, False),
    "calibrate": (True, False),
    "tile": (16, 24, 32, 1000, 8),
    "stitch": ("blend", "exact", "sew"),
    "iterations": (1, 2, 5, 20),
    "start": ("mean", "image", "auto", "wiener", "total_variation", np.ones((32, 32))),
    "prefilter": ("median", None, np.sqrt, "mean"),
    "clip": (True, False, None),
    "balance": (1e-12, 0.1, 2.0, 1e12),
    "weight": (None, 1e-9, 0.1, 1e9),
    "scales": (((1.5,),), ((2, 3), (1.5,)), ((1,),), ((50,),), ((),), (2, 3)),
    "copies": (1, 2),
    "coarse": (0.0, 1.0, 8.0, 1e6),
    "methods": (("wiener",), ("wiener", "ssi"), "wiener", ()),
    "limits": (
        None,
        (0, 1),
        (0, 4095),
        (None, 255),
        (None, None),
        (5, 2),
        (0, 1e-30),
        (-1e30, 1e30),
    ),
    "seed": (0, 1, 5, 2**62, np.int64(5), -1),
    "device": (None, "cpu", None, "cpu", torch.device("cpu"), "foo"),
    "optics": (0.01, 0.3, 0.8, 1.33, 1.4, 1.518, 17, 3, 31, 63, -1, 500, 1e-9, 1e9),
}
EVERYWHERE = ("limits", "seed", "device", "center_psf", "subtract_psf_background")


def pick(rng, name: str):
    """Return a value of an option: mostly one that is meant, now and then any."""
    pool = POOLS.get(name, (True, False)) if rng.random() < 0.97 else STRANGE
    return pool[int(rng.integers(len(pool)))]


def options(rng, method: str) -> dict:
    """Return a few options of a method."""
    names = sorted(
        {*METHODS[method].option_names(), *METHODS[method].choices, *EVERYWHERE}
        - {"checkpoint", "tier"}
    )
    chosen = rng.choice(names, int(rng.integers(0, 4)), replace=False)
    return {str(name): pick(rng, str(name)) for name in chosen}
