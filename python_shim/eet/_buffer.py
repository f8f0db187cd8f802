"""Memory of the library's own, and where a buffer of Python's lies."""
from __future__ import annotations

import array
import ctypes
from typing import Any, Optional, Sequence

from . import _structs
from ._errors import error_of
from ._library import lib


class Buffer:
    """Memory of the library's own: zeros, aligned to 64 bytes.

    Parameters
    ----------
    size : int
        Bytes.
    device : str
        "cpu", or a device's, for what is kept: it takes a millisecond there.
    """

    __slots__ = ("pointer", "model", "buffer", "_release")

    def __init__(self, size: int, device: str = "cpu") -> None:
        self.buffer: Optional[int] = None
        self.model: Optional[int] = None
        self._release = lib.eet_buffer_release
        out = ctypes.c_void_p()
        error = _structs.Error()
        kind, _, index = device.partition(":")
        if kind == "cpu":
            status = lib.eet_buffer_create(size, ctypes.byref(out), error)
        else:
            status = lib.eet_buffer_create_on(1, int(index or 0), size, ctypes.byref(out), error)
        if status != 0:
            raise error_of(status, error)
        self.buffer = out.value
        self.pointer: int = lib.eet_buffer_data(out)

    def __del__(self) -> None:
        if self.buffer is not None:
            self._release(self.buffer)


def fill(pointer: int, values: Sequence[Any], code: str = "i") -> None:
    """Writes numbers (array.array's code) to host memory."""
    packed = array.array(code, values)
    ctypes.memmove(pointer, packed.buffer_info()[0], len(packed) * packed.itemsize)


class _PyBuffer(ctypes.Structure):
    _fields_ = [("buf", ctypes.c_void_p), ("obj", ctypes.py_object), ("len", ctypes.c_ssize_t),
                ("rest", ctypes.c_char * 128)]


def pointer_of(view: memoryview) -> int:
    """The address of a buffer's first byte, of read-only ones too."""
    get = ctypes.pythonapi.PyObject_GetBuffer
    give = ctypes.pythonapi.PyBuffer_Release
    buffer = _PyBuffer()
    get(ctypes.py_object(view), ctypes.byref(buffer), ctypes.c_int(0))
    pointer = int(buffer.buf or 0)
    give(ctypes.byref(buffer))
    return pointer
