"""Atomic writes, early path checks, checksums."""

import os
import secrets
import tempfile
from pathlib import Path


def check_writable(path, overwrite=False, suffixes=()):
    """Raise unless a file can be written at `path`, to fail before a long computation, not after it.

    Parameters
    ----------
    path : str or path-like
        The file to write.
    overwrite : bool
        Whether an existing file may be replaced.
    suffixes : sequence of str, optional
        The extensions that it may have, such as `SUFFIXES`; any unless given.

    Raises
    ------
    ValueError
        If it has another extension.
    FileExistsError, IsADirectoryError
        If the path exists already.
    FileNotFoundError, PermissionError
        If the folder is missing or not writable.

    Examples
    --------
    >>> check_writable("no/such/folder/image.tif")
    Traceback (most recent call last):
    FileNotFoundError: cannot write image.tif: there is no folder no/such/folder; make it first
    """
    path = Path(path)
    folder = path.resolve().parent
    check_suffix(path, suffixes)
    if len(path.name.encode()) > 255:
        raise ValueError(f"cannot write {path.name[:40]}...: its name is longer than 255 bytes")
    if path.is_dir():
        raise IsADirectoryError(f"cannot write {path}: it is a folder; add a file name")
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} exists: choose another name or pass overwrite=True")
    if not folder.is_dir():
        missing = f"there is no folder {path.parent}"
        raise FileNotFoundError(f"cannot write {path.name}: {missing}; make it first")
    try:  # permission bits are not enough: the disk may be full or read-only
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        refused = f"the folder {path.parent} takes no new files ({error.strerror})"
        mend = "choose another folder"
        raise PermissionError(f"cannot write {path.name}: {refused}; {mend}") from error


def write_atomically(path, write):
    """Write a file atomically: an interruption leaves no partial file.

    Parameters
    ----------
    path : str or path-like
        The file to write; an existing one is replaced only if `write` succeeds.
    write : callable
        Writes the content to the path it is called with, a temporary file in the same folder.

    Returns
    -------
    pathlib.Path
        `path`.

    Examples
    --------
    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> write_atomically(Path(folder.name, "a"), lambda p: p.write_text("whole")).read_text()
    'whole'
    """
    target = Path(path).resolve()  # follows links: os.replace would replace the link itself
    # a name of its own: a long one with more letters would not fit into 255 bytes
    temporary = target.with_name(f".{secrets.token_hex(8)}{target.suffix}")
    try:
        write(temporary)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
    return Path(path)


def check_suffix(path, suffixes):
    """Raise ValueError unless a path has one of the extensions `suffixes`; if there are none, any will do.

    Examples
    --------
    >>> check_suffix(Path("cells.TIF"), (".tif", ".tiff"))
    >>> check_suffix(Path("cells.czi"), (".tif", ".tiff"))
    Traceback (most recent call last):
    ValueError: cells.czi ends in '.czi', supported: .tif, .tiff
    """
    if suffixes and path.suffix.lower() not in suffixes:
        raise ValueError(f"{path.name} ends in {path.suffix!r}, supported: {', '.join(suffixes)}")


def check_sha256(path, expected, mend):
    """Raise unless a file exists and has this SHA-256; `mend` is the advice in the message.

    Raises
    ------
    FileNotFoundError
        If it is missing.
    ValueError
        If its checksum differs.

    Examples
    --------
    >>> check_sha256(Path("gone.tif"), "e3b0c442", "get it anew")
    Traceback (most recent call last):
    FileNotFoundError: gone.tif is missing; get it anew
    """
    from pooch import file_hash  # imported here: slow, and few runs need it

    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing; {mend}")
    if (digest := file_hash(path)) != expected:
        found = f"{path} has SHA-256 {digest}, expected {expected}"
        raise ValueError(f"{found}: the file is damaged or was changed; {mend}")
