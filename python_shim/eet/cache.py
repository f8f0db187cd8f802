"""Converted checkpoints, kept between runs.

``from_pretrained(folder)`` converts once. The result lies in ``EET_CACHE`` (default
``$XDG_CACHE_HOME/eet``, ``~/.cache/eet``), a folder of the user alone::

    keys/<sha256 of the key>.json   which model a source gave
    models/<content digest>.eet     the models; sources with the same content share one

A key is made of the source's files (real path, size, time of change, inode), the options of the
conversion and the converter itself. Whatever of them changes makes another key, so that a stale
model is never used.

``python -m eet.cache`` lists, checks and empties the cache.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import stat
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Optional, Union

from ._cache_key import SCHEMA_VERSION, source_key

__all__ = ["Entry", "clear", "entries", "folder", "opened", "prune", "source_key"]

_Path = Union[str, "os.PathLike[str]"]

DIGEST = frozenset("0123456789abcdef")


class Entry:
    """One key of the cache.

    Attributes
    ----------
    key : str
        SHA-256 of what the conversion depended on.
    content : str
        Content digest of the model.
    source : str
        Where the checkpoint was.
    options : dict
        Options of the conversion.
    path : pathlib.Path
        The model's file.
    created : float
        Seconds since 1970.
    """

    def __init__(self, key: str, note: Mapping[str, Any], models: Path) -> None:
        self.key = key
        self.content = str(note["content"])
        self.source = str(note["source"])
        self.options = dict(note["options"])
        self.created = float(note["created"])
        self.path = models / (self.content + ".eet")

    @property
    def size(self) -> int:
        """Bytes of the model's file, 0 where it is gone."""
        try:
            return self.path.stat().st_size
        except OSError:
            return 0


def folder() -> Path:
    """Where converted checkpoints are kept.

    Returns
    -------
    pathlib.Path
        ``EET_CACHE``, else ``$XDG_CACHE_HOME/eet``, else ``~/.cache/eet``. It need not exist.
    """
    named = os.environ.get("EET_CACHE")
    if named:
        return Path(named)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "eet"


def _private(path: Path) -> Path:
    """Makes a folder of the user alone, or refuses the one that is there."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = os.lstat(path)
    if stat.S_ISLNK(found.st_mode):
        found = os.stat(path)
        if os.lstat(path).st_uid not in (os.geteuid(), 0):
            raise PermissionError(f"{path}: a link of another user; set EET_CACHE")
    if not stat.S_ISDIR(found.st_mode):
        raise NotADirectoryError(f"{path}: not a folder; set EET_CACHE")
    if found.st_uid != os.geteuid():
        raise PermissionError(f"{path}: belongs to another user; set EET_CACHE")
    if found.st_mode & 0o022:
        raise PermissionError(
            f"{path}: others may write here; chmod go-w it, or set EET_CACHE"
        )
    return path


class _Store:
    """The folders of one cache."""

    def __init__(self, root: Optional[_Path] = None) -> None:
        self.root = _private(folder() if root is None else Path(root))
        self.keys = _private(self.root / "keys")
        self.models = _private(self.root / "models")

    @contextlib.contextmanager
    def locked(self, name: str, exclusive: bool) -> Iterator[None]:
        """Holds a lock among processes and threads; the system gives it back when we die."""
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        fd = os.open(self.root / name, flags, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH)
            yield
        finally:
            os.close(fd)

    def read(self, key: str) -> Optional[Entry]:
        """What a key stands for, or None where nothing usable is noted."""
        try:
            text = (self.keys / (key + ".json")).read_text("utf-8")
            note = json.loads(text)
            if note["schema_version"] != SCHEMA_VERSION or not _is_digest(note["content"]):
                return None
            return Entry(key, note, self.models)
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write(self, key: str, note: Mapping[str, Any]) -> None:
        """Notes a key, whole or not at all."""
        fd, name = tempfile.mkstemp(prefix=".", suffix=".tmp", dir=self.keys)
        try:
            with os.fdopen(fd, "w", encoding="utf-8") as file:
                json.dump(note, file, sort_keys=True)
            os.replace(name, self.keys / (key + ".json"))
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(name)
            raise


def _is_digest(text: object) -> bool:
    return isinstance(text, str) and len(text) == 64 and DIGEST.issuperset(text)


def _content(path: Path) -> str:
    """The content digest that a model claims; opening it checks its structure."""
    from .model import load

    with load(path, device="cpu") as model:
        return str(model.digest).rpartition(":")[2]


def _fill(store: _Store, key: str, source: _Path, options: Mapping[str, Any]) -> Path:
    """Converts into the cache. The key's lock is held."""
    from ._convert import convert

    fd, name = tempfile.mkstemp(prefix=".", suffix=".eet.tmp", dir=store.models)
    os.close(fd)
    try:
        convert(source, name, force=True, **options)
        content = _content(Path(name))
        target = store.models / (content + ".eet")
        os.chmod(name, 0o600)
        os.replace(name, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise
    if source_key(source, options) == key:  # else the source changed meanwhile: good for now only
        note = {
            "schema_version": SCHEMA_VERSION,
            "content": content,
            "source": os.path.realpath(source),
            "options": dict(options),
            "created": time.time(),
        }
        store.write(key, note)
    return target


def _usable(entry: Optional[Entry]) -> bool:
    """Whether the model is there and is the one that was noted."""
    if entry is None or not entry.path.is_file():
        return False
    try:
        return _content(entry.path) == entry.content
    except Exception:  # whatever is wrong with it: it is made anew
        return False


@contextlib.contextmanager
def opened(
    source: _Path, root: Optional[_Path] = None, **options: Any
) -> Iterator[Path]:
    """The model of a checkpoint, converted where it is not in the cache yet.

    Nobody empties the cache inside the ``with``: open the model there. A model that is open stays
    so when its file is removed later.

    Parameters
    ----------
    source : path
        A checkpoint or its folder.
    root : path, optional
        The cache; default `folder()`.
    **options
        Of `eet.convert`, e.g. ``dtype="f16"``.

    Yields
    ------
    pathlib.Path
        The .eet file.

    Raises
    ------
    eet.Error
        The checkpoint is refused; the error says why.
    PermissionError
        The cache belongs to, or is writable by, somebody else.
    """
    store = _Store(root)
    with store.locked("lock", exclusive=False):
        key = source_key(source, options)
        with store.locked("keys/" + key + ".lock", exclusive=True):
            entry = store.read(key)
            if entry is not None and _usable(entry):
                path = entry.path
                os.utime(path)
            else:
                path = _fill(store, key, source, options)
        yield path


def entries(root: Optional[_Path] = None) -> list[Entry]:
    """What is in the cache, the latest first.

    Parameters
    ----------
    root : path, optional
        The cache; default `folder()`.

    Returns
    -------
    list of Entry
    """
    store = _Store(root)
    found = (store.read(path.stem) for path in sorted(store.keys.glob("*.json")))
    return sorted((e for e in found if e is not None), key=lambda e: -e.created)


def _remove(path: Path) -> int:
    try:
        size = path.stat().st_size
        path.unlink()
    except OSError:
        return 0
    return size


def clear(root: Optional[_Path] = None) -> int:
    """Removes every model and key; waits for those who are opening one.

    Parameters
    ----------
    root : path, optional
        The cache; default `folder()`.

    Returns
    -------
    int
        Bytes of the models that were removed.
    """
    return prune(0, root)


def prune(most: int, root: Optional[_Path] = None) -> int:
    """Removes the models that were longest unused until `most` bytes are left.

    Parameters
    ----------
    most : int
        Bytes that may stay.
    root : path, optional
        The cache; default `folder()`.

    Returns
    -------
    int
        Bytes of the models that were removed.
    """
    store = _Store(root)
    removed = 0
    with store.locked("lock", exclusive=True):
        for part in store.models.glob(".*.tmp"):
            removed += _remove(part)  # of a process that died: nobody else can hold the lock now
        models = [(path.stat().st_mtime, path) for path in store.models.glob("*.eet")]
        total = sum(path.stat().st_size for _, path in models)
        for _, path in sorted(models):
            if total > most or most == 0:
                size = _remove(path)
                total -= size
                removed += size
        for path in store.keys.iterdir():
            entry = store.read(path.stem) if path.suffix == ".json" else None
            if entry is None or not entry.path.is_file():
                _remove(path)
    return removed


def _size(text: str) -> int:
    units = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
    unit = units.get(text[-1:].upper(), 1)
    digits = text[:-1] if unit > 1 else text
    if not digits.isdigit():
        raise argparse.ArgumentTypeError(f"not a size: {text!r}; say 500M or 20G")
    return int(digits) * unit


def _print_list(as_json: bool) -> int:
    found = entries()
    if as_json:
        rows = [
            {
                "content_sha256": e.content,
                "source": e.source,
                "options": e.options,
                "bytes": e.size,
                "created": e.created,
                "path": str(e.path),
            }
            for e in found
        ]
        print(json.dumps({"schema_version": SCHEMA_VERSION, "entries": rows}, indent=2))
        return 0
    for e in found:
        options = " ".join(f"{k}={v}" for k, v in sorted(e.options.items()))
        print(f"{e.content[:12]}  {e.size:>12,}  {e.source}  {options}".rstrip())
    return 0


def _print_check() -> int:
    bad = [e for e in entries() if not _usable(e)]
    for e in bad:
        print(f"{e.path}: gone or damaged; it is converted again when it is needed")
    return 1 if bad else 0


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """The command ``python -m eet.cache``.

    Parameters
    ----------
    arguments : sequence of str, optional
        Default: those of the process.

    Returns
    -------
    int
        0; 1 where ``check`` found a damaged model; 2 for a wrong option; 5 for the system's errors.
    """
    parser = argparse.ArgumentParser(
        prog="python -m eet.cache", description="Converted checkpoints in EET_CACHE."
    )
    commands = parser.add_subparsers(dest="command")
    commands.add_parser("path", help="print the folder")
    listing = commands.add_parser("list", help="what is in it (default)")
    listing.add_argument("--json", action="store_true", help="as one JSON document")
    commands.add_parser("check", help="open every model; exit 1 where one is damaged")
    commands.add_parser("clear", help="remove all of it")
    pruning = commands.add_parser("prune", help="remove what was longest unused")
    pruning.add_argument("--most", type=_size, required=True, help="what may stay, e.g. 20G")
    options = parser.parse_args(arguments)
    try:
        if options.command == "path":
            print(folder())
        elif options.command == "check":
            return _print_check()
        elif options.command in ("clear", "prune"):
            print(f"{prune(getattr(options, 'most', 0)):,} bytes removed")
        else:
            return _print_list(getattr(options, "json", False))
    except OSError as error:
        print(f"python -m eet.cache: {error}", file=sys.stderr)
        return 5
    return 0


if __name__ == "__main__":
    sys.exit(main())
