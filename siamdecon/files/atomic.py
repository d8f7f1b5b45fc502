"""Files appear whole or not at all, what is in their way is said before the work, and checksums."""

import os
import secrets
import tempfile
from pathlib import Path


def check_writable(path, overwrite=False, suffixes=()):
    """Raise unless a file can be written at `path`: before hours of work rather than after.

    Parameters
    ----------
    path : str or path-like
        The file to be.
    overwrite : bool
        Whether it may replace a file that exists.
    suffixes : sequence of str, optional
        The endings that its name may have, such as `SUFFIXES`; any unless given.

    Raises
    ------
    ValueError
        If its name has another ending.
    FileExistsError, IsADirectoryError
        If something is there already.
    FileNotFoundError, PermissionError
        If its folder is missing, or takes no new files.

    Examples
    --------
    >>> check_writable("no/such/folder/image.tif")
    Traceback (most recent call last):
    FileNotFoundError: cannot write image.tif: there is no folder no/such/folder; make it first
    """
    path = Path(path)
    folder = path.resolve().parent
    check_suffix(path, suffixes)
    if path.is_dir():
        raise IsADirectoryError(f"cannot write {path}: it is a folder; add a file name")
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} exists: choose another name or pass overwrite=True")
    if not folder.is_dir():
        missing = f"there is no folder {path.parent}"
        raise FileNotFoundError(f"cannot write {path.name}: {missing}; make it first")
    try:  # permission bits say too little: the disk may be full or mounted read-only
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        refused = f"the folder {path.parent} takes no new files ({error.strerror})"
        mend = "choose another folder"
        raise PermissionError(f"cannot write {path.name}: {refused}; {mend}") from error


def write_atomically(path, write):
    """Make a file appear whole or not at all, also when the writing is interrupted.

    Parameters
    ----------
    path : str or path-like
        The file to be; an existing one is replaced, and kept if `write` raises.
    write : callable
        Called with a temporary `pathlib.Path` in the same folder, to write the content there.

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
    target = Path(path).resolve()  # through a link: os.replace would replace the link itself
    temporary = target.with_name(f".{secrets.token_hex(4)}-{target.name}")
    try:
        write(temporary)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
    return Path(path)


def check_suffix(path, suffixes):
    """Raise ValueError if a path ends in none of `suffixes`; no suffixes allow any.

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
    """Raise unless a file is there and has this SHA-256; `mend` says what to do about it.

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
