"""Damaged and malicious files: images, checkpoints, records of settings, tables of results, the sweep."""

import contextlib
import functools
import io
import json
import os
import pickle
import zipfile
import zlib
from pathlib import Path

import numpy as np
import PIL.Image
import tifffile
import torch

import siamdecon as sd
from benchmarks.measurements import KEY, Measurements
from benchmarks.stress import Lost, expected
from siamdecon.files.samples import data_folder
from siamdecon.lab.sweep import load_sweep

TRIED = "bits flipped, cut off, junk or code in TIFF, PNG, checkpoint, table of results and sweep"
HOLDS = "read rightly, or refused by name; nothing executed"
COUNT, SECONDS = 2000, 20

PIXELS = np.random.default_rng(0).integers(0, 4000, (6, 40, 32), dtype=np.uint16)
PSF = np.ones((3, 3)) / 9


def attempt(rng: np.random.Generator, folder: Path) -> str:
    """Damage one file and read it."""
    kind = str(rng.choice(["tiff", "png", "checkpoint", "table", "sweep", "code"],
                          p=[0.45, 0.2, 0.15, 0.08, 0.07, 0.05]))  # fmt: skip
    if kind == "code":
        return code(rng, folder)
    names = sorted(name for name in samples() if name.startswith(kind))
    name = str(rng.choice(names))
    whole = samples()[name]
    part, how = damaged(rng, whole)
    if kind != "table":
        with contextlib.suppress(ValueError):  # a colour image
            untouched(kind, name)
    path = folder / name.partition("-")[2]
    path.write_bytes(part)
    try:
        found = READ[kind](path)
    except Exception as error:
        refused = expected(error)
        if path.name not in str(error):
            raise Lost(f"{name}, {how}: the file is not named: {error}") from error
        return refused
    check(kind, name, how, found, part)
    return "read"


def check(kind: str, name: str, how: str, found, part: bytes) -> None:
    """Raise `Lost` if what was read is not what the file held, as far as that can be told."""
    want = untouched(kind, name)
    if kind in ("tiff", "png") and found.shape != want.shape and how == "cut":
        raise Lost(f"{name}, cut: {found.shape} in place of {want.shape}")
    # a flip among plain pixels can't be told; what is cut off, compressed or has a checksum can
    told = (how == "cut" and kind != "table") or kind in ("png", "checkpoint")
    if told and not np.array_equal(found, want):
        raise Lost(f"{name}, {how}: other values were read, and nothing was said")


def damaged(rng, whole: bytes) -> tuple[bytes, str]:
    """Return a file that something has happened to, and what."""
    part, how = bytearray(whole), str(rng.choice(["flip", "cut", "junk", "zeros", "more", "swap"],
                                                 p=[0.5, 0.25, 0.1, 0.05, 0.05, 0.05]))  # fmt: skip
    n, at = len(part), int(rng.integers(len(part)))
    if rng.random() < 0.5:  # where the structure is
        at = int(rng.choice([rng.integers(min(n, 512)), n - 1 - rng.integers(min(n, 512))]))
    if how == "flip":
        for _ in range(int(rng.choice([1, 1, 1, 2, 8]))):
            part[at] ^= 1 << int(rng.integers(8))
            at = int(rng.integers(n))
    elif how == "cut":
        return bytes(part[:at]), how
    elif how == "junk":
        part[at : at + 64] = rng.bytes(len(part[at : at + 64]))
    elif how == "zeros":
        part[at : at + 4096] = bytes(len(part[at : at + 4096]))
    elif how == "more":
        part += rng.bytes(100)
    else:
        part = part[at:] + part[:at]
    return bytes(part), how


def code(rng, folder: Path) -> str:
    """Hand over files that would execute code or unfold to gigabytes, read as they should not be."""
    mark = folder / "executed"

    class Payload:
        def __reduce__(self):
            return os.mkdir, (str(mark),)

    path = folder / "file"
    which = int(rng.integers(6))
    try:
        if which == 0:
            torch.save(Payload(), path)
            _resume(path)
        elif which == 1:
            torch.save({"key": "x", "step": Payload()}, path)
            _resume(path)
        elif which == 2:
            path.write_bytes(pickle.dumps(Payload()))
            _resume(path)
        elif which == 3:
            path = path.with_suffix(".zip")
            with zipfile.ZipFile(path, "w") as file:
                file.writestr("about.json", pickle.dumps(Payload()))
            load_sweep(path)
        elif which == 4:  # a billion laughs
            entities = '<!ENTITY a0 "ha">' + "".join(
                f'<!ENTITY a{i} "{f"&a{i - 1};" * 10}">' for i in range(1, 12)
            )
            xml = f'<?xml version="1.0"?><!DOCTYPE x [{entities}]><OME><a>&a11;</a></OME>'
            path = path.with_suffix(".ome.tif")
            tifffile.imwrite(path, PIXELS, description=xml.encode(), metadata=None)
            sd.read_image(path)
        else:  # 400 MB of zeros in a few hundred kilobytes
            path = path.with_suffix(".png")
            side = 20000
            chunk = functools.partial(_chunk)
            header = side.to_bytes(4, "big") * 2 + bytes([8, 0, 0, 0, 0])
            packer, body = zlib.compressobj(9), io.BytesIO()
            for _ in range(side):
                body.write(packer.compress(bytes(side + 1)))
            body.write(packer.flush())
            path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
                             + chunk(b"IDAT", body.getvalue()) + chunk(b"IEND", b""))  # fmt: skip
            sd.read_image(path)
    except Exception as error:
        expected(error)
        if path.name not in str(error):
            raise Lost(f"the file is not named: {error}") from error
    if mark.exists():
        raise Lost(f"code was executed, case {which}")
    return "nothing executed"


def _chunk(name: bytes, data: bytes) -> bytes:
    checksum = zlib.crc32(name + data).to_bytes(4, "big")
    return len(data).to_bytes(4, "big") + name + data + checksum


@functools.cache
def samples() -> dict[str, bytes]:
    """Return files of every kind by name."""
    found = {}

    def tiff(name, pixels=PIXELS, **how):
        file = io.BytesIO()
        tifffile.imwrite(file, pixels, **how)
        found[f"tiff-{name}"] = file.getvalue()

    tiff("plain.tif")
    tiff("imagej.tif", imagej=True, metadata={"axes": "ZYX", "spacing": 0.3, "unit": "um"})
    tiff("big.tif", bigtiff=True)
    tiff("zlib.tif", compression="zlib", predictor=True)
    tiff("lzw.tif", compression="lzw")
    tiff("zstd.tif", compression="zstd")
    tiff("tiled.tif", tile=(16, 16), compression="zlib")
    tiff("floats.tif", pixels=PIXELS.astype(np.float32) / 7)
    tiff("planes.tif", pixels=PIXELS[0], photometric="miniswhite")
    tiff("x.ome.tif", ome=True, metadata={"axes": "ZYX", "PhysicalSizeX": 0.1})
    for name, mode in (("grey", "L"), ("colour", "RGB"), ("palette", "P")):
        file = io.BytesIO()
        PIL.Image.fromarray((PIXELS[0] // 16).astype(np.uint8)).convert(mode).save(file, "PNG")
        found[f"png-{name}.png"] = file.getvalue()
    file = io.BytesIO()
    PIL.Image.fromarray(PIXELS[0]).save(file, "PNG")
    found["png-deep.png"] = file.getvalue()
    path = Path("checkpoint")
    _resume(path, steps=2)
    found["checkpoint-checkpoint"] = path.read_bytes()
    path.unlink()
    row = dict.fromkeys(KEY, "x") | {"psnr": 1.0, "ssim": 1.0, "rmse": 1.0}
    text = "".join(json.dumps(row | {"seed": seed}) + "\n" for seed in range(20))
    found["table-r.jsonl"] = text.encode()
    with zipfile.ZipFile(data_folder() / "lambdas.zip") as whole, io.BytesIO() as small:
        about = json.loads(whole.read("about.json"))
        about["frames"] = about["frames"][:5]
        with zipfile.ZipFile(small, "w") as file:
            file.writestr("about.json", json.dumps(about), zipfile.ZIP_DEFLATED)
            for entry in about["frames"]:
                file.writestr(entry["picture"], whole.read(entry["picture"]))
        found["sweep-s.zip"] = small.getvalue()
    return found


@functools.cache
def untouched(kind: str, name: str):
    """Return what is read of a file that nothing has happened to."""
    path = Path(name.partition("-")[2])
    path.write_bytes(samples()[name])
    return READ[kind](path)


def _image(path: Path) -> np.ndarray:
    memory, disk = sd.read_image(path), sd.read_image(path, memmap=True)
    if not np.array_equal(memory, disk, equal_nan=memory.dtype.kind == "f"):
        raise Lost(f"{path.name}: other pixels on disk than in memory")
    return np.asarray(memory)


def _resume(path: Path, steps: int = 3) -> np.ndarray:
    """Train a network of a few weights, going on from a checkpoint; return its weights."""
    config = sd.TrainingConfig(steps=3, batch_size=1, patch_size=16, ema_decay=0.9)
    image = PIXELS[0] / PIXELS[0].max()

    def stop(run):
        if run.step == steps < 3:
            raise KeyboardInterrupt

    torch.manual_seed(0)
    network = sd.UNet(features=1)
    run = sd.train(network, image, PSF, config, callback=stop, checkpoint=path, checkpoint_every=1)
    return torch.cat([p.detach().flatten() for p in run.average.parameters()]).numpy()


def _table(path: Path) -> list:
    return Measurements(path).rows()


def _sweep(path: Path) -> list:
    return sorted(load_sweep(path)[1])


READ = {
    "tiff": _image,
    "png": _image,
    "checkpoint": _resume,
    "table": _table,
    "sweep": _sweep,
}
