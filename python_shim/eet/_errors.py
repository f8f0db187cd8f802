"""Exceptions: one class for each status of the library."""
from __future__ import annotations

import ctypes
from typing import Any, Dict, Optional, Tuple, Type

from . import _structs

__all__ = [
    "AmbiguousError", "ArgumentError", "CancelledError", "ClosedError", "ConversionError",
    "DeviceError", "Error", "ExistsError", "FileError", "FormatError", "InternalError",
    "LimitError", "OutOfMemoryError", "StateError", "SuspiciousError", "UnsupportedError",
]

NOWHERE = 2**64 - 1


class Error(Exception):
    """What every error of this package is.

    Attributes
    ----------
    code : str
        The status' name, for example ``"EET_E_CORRUPT"``.
    path : str or None
        The file that was read or written, where there is one.
    offset : int or None
        The byte of that file at fault, where there is one.
    """

    code = "EET_E_INTERNAL"

    def __init__(self, message: str, *, path: Optional[str] = None,
                 offset: Optional[int] = None, code: Optional[str] = None) -> None:
        super().__init__(message)
        self.message = message
        self.path = path
        self.offset = offset
        if code is not None:
            self.code = code

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> Tuple[Any, ...]:
        return _again, (type(self), self.message, self.path, self.offset, self.code)


def _again(kind: Type[Error], message: str, path: Optional[str], offset: Optional[int],
           code: str) -> Error:
    return kind(message, path=path, offset=offset, code=code)


class ArgumentError(Error, ValueError):
    """A value, a length or a combination that the caller gave is wrong."""

    code = "EET_E_ARGUMENT"


class UnsupportedError(Error):
    """Well-formed, but not something that this version does."""

    code = "EET_E_UNSUPPORTED"


class FormatError(Error):
    """A file breaks the rules of its format; `offset` says where."""

    code = "EET_E_CORRUPT"


class SuspiciousError(FormatError):
    """A file carries something made to be executed, or leads out of its folder."""

    code = "EET_E_SUSPICIOUS"


class FileError(Error, OSError):
    """What the operating system said about a file."""

    code = "EET_E_IO"


class OutOfMemoryError(Error, MemoryError):
    """An allocation failed."""

    code = "EET_E_MEMORY"


class LimitError(Error):
    """A bound of this program or of a session; the message names both numbers."""

    code = "EET_E_LIMIT"


class ExistsError(Error, FileExistsError):
    """The target is there already."""

    code = "EET_E_EXISTS"


class AmbiguousError(Error, ValueError):
    """There are several readings, and an argument has to decide."""

    code = "EET_E_AMBIGUOUS"


class DeviceError(Error, RuntimeError):
    """The device or its driver; the CPU works on."""

    code = "EET_E_DEVICE"


class CancelledError(Error):
    """`Session.cancel` was called."""

    code = "EET_E_CANCELLED"


class StateError(Error, RuntimeError):
    """Not now: a session that died, or the child of a fork."""

    code = "EET_E_STATE"


class ClosedError(StateError):
    """The object was closed before."""


class InternalError(Error, RuntimeError):
    """A bug of ours; please report it."""

    code = "EET_E_INTERNAL"


class ConversionError(Error):
    """A conversion failed. What `eet.convert` raises is also of the class of its status."""


STATUSES: Dict[int, Type[Error]] = {
    1: ArgumentError, 2: UnsupportedError, 3: FormatError, 4: SuspiciousError, 5: FileError,
    6: OutOfMemoryError, 7: LimitError, 8: ExistsError, 9: AmbiguousError, 10: DeviceError,
    11: CancelledError, 12: StateError, 13: InternalError,
}
BY_CODE: Dict[str, Type[Error]] = {kind.code: kind for kind in STATUSES.values()}

for _kind in (Error, ClosedError, ConversionError, *STATUSES.values()):
    _kind.__module__ = "eet"  # where callers find them, and what a traceback says


def error_of(status: int, error: _structs.Error, path: Optional[str] = None) -> Error:
    """The exception for a status and the words that came with it."""
    text = ctypes.string_at(ctypes.addressof(error) + _structs.Error.text.offset)
    offset = None if error.offset == NOWHERE else int(error.offset)
    kind = STATUSES.get(status, InternalError)
    return kind(text.decode("utf-8", "replace"), path=path, offset=offset)
