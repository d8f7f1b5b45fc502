"""Atomic writes, early path checks, checksums."""

import os
import secrets
import shutil
import signal
import tempfile
import threading
import zlib
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

#: What describes a Zarr store, a folder: of version 3, and of version 2.
ABOUT = ("zarr.json", ".zgroup", ".zarray")
#: What `replace` calls with each file that it gives its name, while `_undivided` runs.
_hold = None


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
    longest = 255 - len(".unfinished") * (path.suffix.lower() == ".zarr")
    if len(os.fsencode(path.name)) > longest:
        raise ValueError(
            f"cannot write {path.name[:40]}...: its name is longer than {longest} bytes"
        )
    if path.is_dir() and not is_store(path):
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


def is_zarr(path):
    """Tell whether a path is that of a Zarr store, or of a part of one.

    Examples
    --------
    >>> is_zarr(Path("cells.ome.zarr")), is_zarr(Path("cells.tif"))
    (True, False)
    """
    return path.suffix.lower() == ".zarr" or is_store(path)


def is_store(path):
    """Tell whether a path is that of a folder that describes itself as a Zarr store, or a part of one.

    Examples
    --------
    >>> is_store(Path("."))
    False
    """
    return any((path / about).exists() for about in ABOUT)


def check_room(path, n_bytes):
    """Raise OSError unless the disk of a file has room for this many bytes.

    Examples
    --------
    >>> check_room("image.tif", 10**18)
    Traceback (most recent call last):
    OSError: cannot write image.tif: it takes 1e+09 GB, and . has ... GB left; free some space or ...
    """
    path = Path(path)
    if (free := shutil.disk_usage(path.resolve().parent).free) < n_bytes:
        need = f"it takes {n_bytes / 1e9:.3g} GB, and {path.parent} has {free / 1e9:.3g} GB left"
        raise OSError(f"cannot write {path.name}: {need}; free some space or choose another folder")


def write_atomically(path, write):
    """Write a file atomically: an interruption leaves no partial file.

    What `write` writes atomically itself to the same folder belongs to the file: once the first of them has
    its name, Ctrl-C and SIGTERM wait for the last one.

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

    Raises
    ------
    OSError
        If the disk is full, or the folder has vanished; the message names the file.
    KeyboardInterrupt
        At Ctrl-C; one that had to wait names what is written.

    Examples
    --------
    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> write_atomically(Path(folder.name, "a"), lambda p: p.write_text("whole")).read_text()
    'whole'
    """
    target = Path(path).resolve()  # follows links: os.replace would replace the link itself
    temporary = Path(f"{_stem(target)}{secrets.token_hex(8)}.part")
    with _undivided(target.parent):
        try:
            write(temporary)
            replace(temporary, target)
        except OSError as error:
            if str(error).startswith("cannot write"):  # a file beside it
                raise
            refused = f"cannot write {target.name} to {target.parent}: {error.strerror or error}"
            raise type(error)(f"{refused}; free some space or choose another folder") from error
        finally:
            remove(temporary)
    return Path(path)


@contextmanager
def _undivided(folder):
    """Let Ctrl-C and SIGTERM wait for the block's end once a file in this folder has its name."""
    global _hold
    if _hold or not _in_main_thread():
        yield
        return
    waiting, handlers, named = [], {}, []

    def hold(target):
        if target.parent != folder:  # a store that is begun: its pixels may take hours
            return
        for number in {signal.SIGINT, signal.SIGTERM} - handlers.keys():
            if signal.getsignal(number) is not None:  # a program around Python has its own
                handlers[number] = signal.signal(number, lambda n, _: waiting.append(n))
        named.append(target.name)

    _hold = hold
    try:
        yield
    finally:
        _hold = None
        for number, handler in handlers.items():
            signal.signal(number, handler)
    try:
        for number in waiting:
            signal.raise_signal(number)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"{named[0]} was written") from None


def _in_main_thread():
    """Tell whether this is the thread that signals arrive in."""
    return threading.current_thread() is threading.main_thread()


def replace(source, target):
    """Give a file, or a folder that is a Zarr store, the name of another, which it replaces.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> (folder / "a").mkdir(), (folder / "b").mkdir(), (folder / "b" / "old").touch()
    (None, None, None)
    >>> replace(folder / "a", folder / "b"), os.listdir(folder), os.listdir(folder / "b")
    (None, ['b'], [])
    """
    if _hold and _in_main_thread():
        _hold(target)
    old = Path(f"{_stem(target)}{secrets.token_hex(8)}.old")
    if target.is_dir() or (source.is_dir() and target.exists()):  # its place must be empty
        os.replace(target, old)  # `claimed` puts it back if the process is killed here
    try:
        os.replace(source, target)
    except BaseException:
        if old.exists():
            os.replace(old, target)
        raise
    remove(old)


def remove(path):
    """Delete a file or a folder, as far as it can be."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    with suppress(OSError):
        path.unlink()


@contextmanager
def claimed(path, name):
    """Keep other processes from the file at a path for as long as the block runs.

    Parts of it, and of the record beside it, that killed processes have left are deleted; a
    store that one had put aside to replace it is put back.

    Parameters
    ----------
    path : str or path-like
        The file to be written; in an inner block of the same process it may be claimed again.
    name : str
        The argument, for the message.

    Raises
    ------
    BlockingIOError
        If another process is at it.

    Examples
    --------
    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> with claimed(Path(folder.name, "a"), "output"), claimed(Path(folder.name, "a"), "output"):
    ...     len(os.listdir(folder.name))
    1
    """
    target = Path(path).resolve()
    lock = FileLock(f"{_stem(target)}lock", timeout=0, is_singleton=True)
    try:
        target.parent.stat()  # a missing folder would be made for the lock
        lock.acquire()
    except OSError as error:
        if isinstance(error, Timeout) and os.path.exists(lock.lock_file):
            busy = f"{name}: {path} is being written by another process"
            raise BlockingIOError(busy) from None
        yield  # no such folder, no room in it, no locks: the writing will tell
        return
    outer = lock.lock_counter == 1
    try:
        for stem in (_stem(target), _stem(target.parent / f"{target.stem}.json")) if outer else ():
            for part in target.parent.glob(f"{stem.name}*.part"):
                remove(part)
        for old in target.parent.glob(f"{_stem(target).name}*.old") if outer else ():
            remove(old) if target.exists() else os.replace(old, target)
        yield
    finally:
        with suppress(OSError):  # Windows deletes it in the next line
            Path(lock.lock_file).unlink() if outer else None
        lock.release()


def _stem(target):
    """Return how the paths of a file's parts begin; a long name with more letters would not fit."""
    return target.parent / f".siamdecon-{zlib.crc32(os.fsencode(target.name)):08x}-"


def check_suffix(path, suffixes, mend=""):
    """Raise ValueError unless a path has one of the extensions `suffixes`; if there are none, any will do.

    Examples
    --------
    >>> check_suffix(Path("cells.TIF"), (".tif", ".tiff"))
    >>> check_suffix(Path("cells.czi"), (".tif", ".tiff"))
    Traceback (most recent call last):
    ValueError: cells.czi ends in '.czi', supported: .tif, .tiff
    """
    if suffixes and path.suffix.lower() not in suffixes:
        supported = f"supported: {', '.join(suffixes)}{mend and '; '}{mend}"
        raise ValueError(f"{path.name} ends in {path.suffix!r}, {supported}")


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
