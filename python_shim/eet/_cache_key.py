"""What a conversion depends on: the key of its result in the cache."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from typing import Any, Union

__all__ = ["SCHEMA_VERSION", "converter_build", "source_key", "source_marks"]

_Path = Union[str, "os.PathLike[str]"]

SCHEMA_VERSION = 1
MOST_FILES = 4096  # of a checkpoint's folder
DEPTH = 2  # folders of sentence-transformers have their modules one level down


def _mark(path: str) -> list[Any]:
    found = os.stat(path)  # through links: the hub's cache links to its blobs
    return [os.path.realpath(path), found.st_size, found.st_mtime_ns, found.st_dev, found.st_ino]


def _walk(root: str, depth: int) -> Iterator[str]:
    """The files of a folder and of those in it, in order of their names."""
    with os.scandir(root) as found:
        items = sorted(found, key=lambda item: item.name)
    for item in items:
        if item.name.startswith("."):
            continue
        if item.is_dir() and depth > 1:
            yield from _walk(item.path, depth - 1)
        elif item.is_file():
            yield item.path


def source_marks(source: _Path) -> list[list[Any]]:
    """Real path, size, time of change, device and inode of every file that a conversion may read.

    Parameters
    ----------
    source : path
        A checkpoint, or the folder of one. Of a file, the whole folder counts: its config.json
        and dictionaries lie there.

    Returns
    -------
    list of list

    Raises
    ------
    FileNotFoundError
        There is no such file or folder.
    ValueError
        The folder has more than 4096 files: hardly that of a checkpoint.
    """
    path = os.path.realpath(source)
    inside = path if os.path.isdir(path) else os.path.dirname(path)
    marks = [_mark(path)]
    for file in _walk(inside, DEPTH):
        marks.append(_mark(file))
        if len(marks) > MOST_FILES:
            raise ValueError(f"{inside}: more than {MOST_FILES} files; is it a checkpoint's folder?")
    return marks


def _file_digest(path: str) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


_converters: dict[tuple[Any, ...], str] = {}  # a cache of digests; one entry a build


def converter_build() -> str:
    """SHA-256 of eet-convert: another build may convert otherwise.

    Returns
    -------
    str
    """
    from ._convert import find_converter

    mark = tuple(_mark(find_converter()))
    if mark not in _converters:
        _converters[mark] = _file_digest(str(mark[0]))
    return _converters[mark]


def source_key(source: _Path, options: Mapping[str, Any]) -> str:
    """The key of a conversion.

    Parameters
    ----------
    source : path
        A checkpoint or its folder.
    options : mapping
        What `eet.convert` is called with.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    known = {
        "schema_version": SCHEMA_VERSION,
        "source": os.path.realpath(source),
        "files": source_marks(source),
        "options": dict(options),
        "converter": converter_build(),
    }
    text = json.dumps(known, sort_keys=True, default=os.fspath)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
