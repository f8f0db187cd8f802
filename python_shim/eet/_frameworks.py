"""What `_prepared` asks of arrays again and again, in as few calls as each framework has it: where ids
lie and in what form, whether memory can be written to as it lies, and new memory."""
from __future__ import annotations

import ctypes
import sys
from typing import Any, Callable, Dict, Optional, Tuple

from . import _arrays
from ._dtypes import DTYPES, TORCH, DType

Made = Tuple[Any, int]
# Ids of a caller: their form, where they lie, bytes of each (0: a list), are they on the device?
Seen = Tuple[Tuple[Any, ...], int, int, bool]


class Framework:
    """Arrays of one type. `index` is the number of the session's device, -2 without one."""

    name = "eet"

    def see(self, ids: Any, index: int) -> Optional[Seen]:
        """Ids as they lie; None: not row-major, no ids, or elsewhere."""
        raise NotImplementedError

    def writable(self, out: Any, dtype: DType, count: int, index: int) -> Optional[Tuple[int, bool]]:
        """Where memory for an output lies, and whether that is on the device; None: it does not do."""
        raise NotImplementedError

    def maker(self, shape: Tuple[int, ...], dtype: DType, device: str) -> Callable[[], Made]:
        """A function that makes memory for outputs of this shape: the array, and where it lies."""
        return lambda: _arrays.empty(self.name, shape, dtype, device)


class Lists(Framework):
    """Flat lists of ids; results are tensors of the library's."""

    def see(self, ids: Any, index: int) -> Optional[Seen]:
        return ((list, len(ids)), 0, 0, False) if ids and type(ids[0]) is int else None

    def writable(self, out: Any, dtype: DType, count: int, index: int) -> Optional[Tuple[int, bool]]:
        return None


class Numpy(Framework):
    """numpy's arrays."""

    name = "numpy"

    def __init__(self, numpy: Any) -> None:
        self._empty = numpy.empty
        self._dtypes = {kind.name: numpy.dtype(kind.interface)
                        for kind in DTYPES.values() if kind.interface}
        self._ids = {numpy.dtype("<i4"): 4, numpy.dtype("<i8"): 8}

    def see(self, ids: Any, index: int) -> Optional[Seen]:
        size = self._ids.get(ids.dtype)
        if size is None or not ids.flags.c_contiguous:
            return None
        return (size, ids.shape), _numpy_pointer(ids), size, False

    def writable(self, out: Any, dtype: DType, count: int, index: int) -> Optional[Tuple[int, bool]]:
        flags = out.flags
        if out.dtype != self._dtypes.get(dtype.name) or out.size != count or not (
                flags.c_contiguous and flags.writeable):
            return None
        return _numpy_pointer(out), False

    def maker(self, shape: Tuple[int, ...], dtype: DType, device: str) -> Callable[[], Made]:
        kind, empty = self._dtypes.get(dtype.name), self._empty
        if kind is None or 0 in shape:
            return super().maker(shape, dtype, device)

        def make() -> Made:
            made = empty(shape, kind)
            return made, _numpy_pointer(made)

        return make


class Torch(Framework):
    """torch's tensors."""

    name = "torch"

    def __init__(self, torch: Any) -> None:
        self._torch = torch
        self._strided = torch.strided
        self._ids = {torch.int32: 4, torch.int64: 8}
        self._dtypes = {name: getattr(torch, TORCH[name]) for name in ("f32", "f16", "bf16")}

    def see(self, ids: Any, index: int) -> Optional[Seen]:
        size, where = self._ids.get(ids.dtype), ids.get_device()
        if size is None or ids.layout is not self._strided or not ids.is_contiguous() or (
                where != index and where != -1):
            return None
        return (size, ids.shape, where), ids.data_ptr(), size, where >= 0

    def writable(self, out: Any, dtype: DType, count: int, index: int) -> Optional[Tuple[int, bool]]:
        where = out.get_device()
        if out.dtype is not self._dtypes.get(dtype.name) or (
                out.layout is not self._strided or not out.is_contiguous()) or (
                out.numel() != count or (where != index and where != -1)):
            return None
        return out.data_ptr(), where >= 0

    def maker(self, shape: Tuple[int, ...], dtype: DType, device: str) -> Callable[[], Made]:
        kind, empty, place = self._dtypes[dtype.name], self._torch.empty, self._torch.device(device)

        def make() -> Made:
            made = empty(shape, dtype=kind, device=place)
            return made, made.data_ptr()

        return make


_byte = ctypes.c_char
_address = ctypes.addressof


def _numpy_pointer(data: Any) -> int:
    try:
        return _address(_byte.from_buffer(data))
    except (TypeError, ValueError):  # read-only, or empty
        return int(data.__array_interface__["data"][0])


_KNOWN: Dict[type, Framework] = {list: Lists()}


def framework_of(data: Any) -> Optional[Framework]:
    """Who knows arrays of exactly this type; None: nobody here."""
    kind = type(data)
    found = _KNOWN.get(kind)
    if found is None:
        numpy, torch = sys.modules.get("numpy"), sys.modules.get("torch")
        if kind is getattr(numpy, "ndarray", None):
            found = _KNOWN[kind] = Numpy(numpy)
        elif kind is getattr(torch, "Tensor", None):
            found = _KNOWN[kind] = Torch(torch)
    return found
