"""Clean images: the bundled samples, the 2D benchmark, the volume of the 3D experiments. And real ones.

`python -m siamdecon.files.samples` draws the generated ones anew and writes data/manifest.json.
"""

import functools
import json
import os
import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import tifffile

from siamdecon.expect import Words, expect
from siamdecon.files import phantoms
from siamdecon.files.atomic import check_sha256, write_atomically
from siamdecon.files.images import read_image

_SSI_CODE = "https://raw.githubusercontent.com/royerlab/ssi-code/master"
BENCHMARK_URL = f"{_SSI_CODE}/ssi/benchmark/images/generic_2d_all/gt/"


def sample_names():
    """List the names that `load_sample` knows.

    Examples
    --------
    >>> sample_names()[:4]
    ('filaments', 'nuclei', 'membranes', 'vesicles')
    """
    return tuple(_entries("manifest.json"))


def load_sample(name):
    """Load a clean sample image; none needs a network.

    Parameters
    ----------
    name : str
        Generated: "filaments", "nuclei", "membranes", "vesicles". From scikit-image: "cell",
        "histology", "retina", "microaneurysms", "hubble". data/manifest.json describes each.

    Returns
    -------
    ndarray, float32, shape (y, x)
        Grey, its range stretched to [0, 1].

    Raises
    ------
    ValueError
        If there is no such sample, or its file does not match the checksum in the manifest.

    Examples
    --------
    >>> image = load_sample("filaments")
    >>> image.shape, float(image.min()), float(image.max())
    ((384, 384), 0.0, 1.0)
    """
    entry = _entry("manifest.json", name)
    if "file" not in entry:
        from skimage import color, data  # imported here: slow

        image = getattr(data, entry["source"].removeprefix("skimage.data."))()
        return stretched(color.rgb2gray(image) if image.ndim == 3 else image)
    path = data_folder() / entry["file"]
    check_sha256(path, entry["sha256"], "run `python -m siamdecon.files.samples` to draw it again")
    return stretched(read_image(path))


def load_benchmark(folder=None, names=None, *, url=BENCHMARK_URL, progress=True):
    """Load the 2D benchmark of Kobayashi et al. 2020, 22 clean images, or some of them.

    They are read from `folder`, else from the folder named by the environment variable
    SIAMDECON_BENCHMARK, else downloaded once and cached. Each file is checked against its SHA-256.
    Source: https://github.com/royerlab/ssi-code (BSD-3-Clause).

    Parameters
    ----------
    folder : str or path-like, optional
        A folder of local copies; it may hold only some of the 22.
    names : str or sequence of str, optional
        File names, or unique beginnings of them such as "drosophila"; all images unless given.
    url : str
        Where the files are downloaded from.
    progress : bool
        Whether a download shows a bar.

    Returns
    -------
    dict of str to ndarray, float32, shape (y, x)
        By file name without extension; the range of each is stretched to [0, 1].

    Raises
    ------
    ValueError
        If a name fits no image, or several, or a file does not match its checksum.
    FileNotFoundError
        If the folder lacks a requested image, or holds none.
    ConnectionError
        If a download fails.

    Examples
    --------
    >>> load_benchmark(names="nu")
    Traceback (most recent call last):
    ValueError: 'nu' fits nuclei924x624.png, nucleidots924x624.png; expected a name that fits one...
    """
    registry = _registry()
    names = [names] if isinstance(names, str) else names
    files = None if names is None else [_find(name, registry) for name in names]
    known = {file: (digest, f"{url.rstrip('/')}/{file}") for file, digest in registry.items()}
    paths = _paths(known, files, folder, "SIAMDECON_BENCHMARK", progress)
    return {path.stem: stretched(read_image(path)) for path in paths}


def real_names():
    """List the names that `load_real` knows.

    Examples
    --------
    >>> real_names()
    ('beads', 'grid', 'celegans')
    """
    return tuple(_entries("real.json"))


def load_real(name, folder=None, *, progress=True):
    """Load an image from a real microscope, with its authors and licence.

    It is read from `folder`, else from the folder named by the environment variable SIAMDECON_REAL, else
    downloaded once, from a fixed commit of its authors' repository, and cached. The file is checked against
    its SHA-256. None of these images is part of this package.

    Parameters
    ----------
    name : str
        "beads", "grid": four beads and a grid of lines from one confocal microscope, shape (z, y, x).
        "celegans": the gut of a worm, Airyscan, shape (y, x). data/real.json describes each.
    folder : str or path-like, optional
        A folder of local copies; it may hold only some.
    progress : bool
        Whether a download shows a bar.

    Returns
    -------
    Image
        The pixels in the file's dtype, the voxel size where the file tells it, and in `credit` what it
        shows, who made it, its licence and its source.

    Raises
    ------
    ValueError
        If there is no such image, or its file does not match the checksum.
    FileNotFoundError
        If the folder lacks it.
    ConnectionError
        If the download fails, for want of a network or for any other reason.

    Examples
    --------
    >>> load_real("bead")
    Traceback (most recent call last):
    ValueError: there is no 'bead'; there are beads, grid, celegans
    """
    entry = _entry("real.json", name)
    known = {entry["file"]: (entry["sha256"], entry["url"])}
    (path,) = _paths(known, list(known), folder, "SIAMDECON_REAL", progress)
    credit = "{description}; {authors}; {licence}; {source}".format(**entry)
    return replace(read_image(path), credit=credit)


def load_volume(path=None):
    """Load the clean volume of the 3D experiments, from a file or generated.

    It is read from `path`, else from the file named by the environment variable SIAMDECON_VOLUME. The
    paper uses the microtubules of EPFL's Biomedical Imaging Group, available with DeconvolutionLab2; save
    them as one TIFF. Without a file, `siamdecon.files.microtubules` draws a synthetic volume of the same
    size, on which Lucy-Richardson gains as much over a flat estimate as on the paper's: gains, not scores,
    are comparable.

    Parameters
    ----------
    path : str or path-like, optional
        A TIFF of shape (z, y, x).

    Returns
    -------
    ndarray, float32, shape (z, y, x); (128, 256, 512) unless from a file
        Its range stretched to [0, 1].

    Raises
    ------
    FileNotFoundError
        If the file is missing.
    ValueError
        If it holds a plane, not a volume, or is constant.

    Examples
    --------
    Introduced in notebook 09.

    >>> load_volume("microtubules.tif")
    Traceback (most recent call last):
    FileNotFoundError: there is no file microtubules.tif
    """
    path = path or os.environ.get("SIAMDECON_VOLUME")
    if not path:
        return phantoms.microtubules((128, 256, 512))
    volume = read_image(path)
    got = Words(f"a plane of shape {volume.shape}")
    expect(volume.ndim == 3, path, "a volume (z, y, x)", got)
    if volume.data.min() == volume.data.max():
        raise ValueError(f"{path}: every voxel is {volume.data.min()}")
    return stretched(volume)


def write_samples(folder=None):
    """Draw the generated samples again and write manifest.json with their checksums.

    Parameters
    ----------
    folder : str or path-like, optional
        An existing folder; the package's own data/ unless given.

    Returns
    -------
    pathlib.Path
        The manifest.

    Raises
    ------
    FileNotFoundError, PermissionError
        If `folder` is missing or not writable.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     len(json.loads(write_samples(folder).read_text()))
    9
    """
    from pooch import file_hash  # imported here: slow, and few runs need it

    folder = data_folder() if folder is None else Path(folder)
    manifest = _entries("manifest.json")
    for name, entry in manifest.items():
        if "generator" in entry:
            image = getattr(phantoms, name)(entry["shape"], entry["seed"])
            pixels = np.rint(255 * image).astype(np.uint8)
            options = {"photometric": "minisblack", "compression": "zlib"}
            write = functools.partial(tifffile.imwrite, data=pixels, **options)
            entry["sha256"] = file_hash(write_atomically(folder / entry["file"], write))
    text = "[\n" + ",\n".join(map(json.dumps, manifest.values())) + "\n]\n"
    return write_atomically(folder / "manifest.json", lambda path: path.write_text(text))


def data_folder():
    """Return the folder data/: inside the package if installed from a wheel, beside it in a checkout.

    Examples
    --------
    >>> (data_folder() / "benchmark2d.sha256").is_file()
    True
    """
    package = Path(__file__).resolve().parents[1]
    installed = package / "data"
    return installed if installed.is_dir() else package.parent / "data"


def stretched(image):
    """Stretch the range of an image to [0, 1], as float32.

    Examples
    --------
    >>> stretched([[2, 3, 6]]).tolist()
    [[0.0, 0.25, 1.0]]
    """
    image = np.asarray(image, np.float64)
    return ((image - image.min()) / np.ptp(image)).astype(np.float32)


def _entries(file):
    """Return the entries of a list in data/ by their names."""
    entries = json.loads((data_folder() / file).read_text())
    return {entry["name"]: entry for entry in entries}


def _entry(file, name):
    entries = _entries(file)
    if name not in entries:
        raise ValueError(f"there is no {name!r}; there are {', '.join(entries)}")
    return entries[name]


def _find(name, registry):
    """Return the one file that `name` means; "nuclei" is nuclei924x624, not nucleidots924x624."""
    fits = [f for f in registry if name in (f, Path(f).stem, re.split(r"\d+x", f)[0])]
    fits = fits or [file for file in registry if file.startswith(name)]
    if len(fits) != 1:
        known = ", ".join(Path(file).stem for file in registry)
        found = f"{name!r} fits {', '.join(fits) or 'none'}"
        raise ValueError(f"{found}; expected a name that fits one of {known}")
    return fits[0]


def _paths(known, files, folder, variable, progress):
    """Return where files are, in a folder or downloaded; all that are there unless some are asked for.

    `known` gives SHA-256 and address of every file, `variable` what names the folder unless `folder` does.
    """
    folder = folder or os.environ.get(variable)
    if not folder:
        return _downloaded(known, files or known, variable, progress)
    present = [file for file in known if Path(folder, file).is_file()]
    files = present if files is None else files
    if (missing := [file for file in files if file not in present]) or not files:
        lacks, holds = ", ".join(missing) or "all images", ", ".join(present) or "none"
        found = f"the folder {folder} lacks {lacks}; of these images it holds {holds}"
        mend = f"Name another with folder= or {variable}, or leave both out to download"
        raise FileNotFoundError(f"{found}. {mend}")
    for file in files:
        digest, url = known[file]
        check_sha256(Path(folder, file), digest, f"get it anew from {url}")
    return [Path(folder, file) for file in files]


def _downloaded(known, files, variable, progress):
    import pooch  # imported here: slow, and few runs need it
    from tqdm.auto import tqdm

    ways = f"the argument folder or with the environment variable {variable}"
    by_hand = f"Try again, or get the files by hand and name their folder with {ways}"
    server = pooch.HTTPDownloader(timeout=(5, 30))  # seconds: to connect, and between two answers
    cache, paths = pooch.os_cache("siamdecon"), []
    for file in tqdm(files, disable=not progress):
        digest, url = known[file]
        try:
            paths.append(Path(pooch.retrieve(url, digest, file, cache, downloader=server)))
        except OSError as error:  # first: some of requests' are ValueErrors, too
            # requests wraps the reason twice, and begins it with the connection
            reason = getattr(next(iter(error.args), None), "reason", error)
            said = str((reason.args or (reason,))[-1]).split("): ", 1)[-1]
            found = " ".join(f"cannot download {url}: {said}".split())
            raise ConnectionError(f"{found}. {by_hand}") from error
        except ValueError as error:
            found = f"what {url} sent is not the expected file: {error}"
            raise ValueError(f"{found} {by_hand}") from error
    return paths


def _registry():
    """Return the SHA-256 of each file of the benchmark, by its name."""
    lines = (data_folder() / "benchmark2d.sha256").read_text().splitlines()
    return {file: digest for digest, file in map(str.split, lines)}


if __name__ == "__main__":
    print(write_samples(*sys.argv[1:2]))
