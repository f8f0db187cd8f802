"""Data types: by the numbers and names of the library, array interfaces, DLPack, numpy and torch."""
from __future__ import annotations

import struct
from typing import Any, Dict, NamedTuple, Sequence, Tuple

from ._errors import ArgumentError, UnsupportedError


class DType(NamedTuple):
    """What is known of a data type."""

    name: str
    code: int  # eet_dtype
    bits: int
    interface: str  # of __array_interface__; "" where it has no code
    format: str  # of struct; "" where it has none
    dlpack: int  # DLDataTypeCode; -1: none


DTYPES: Dict[str, DType] = {row[0]: DType(*row) for row in (
    ("f32", 1, 32, "<f4", "f", 2), ("f16", 2, 16, "<f2", "e", 2), ("bf16", 3, 16, "", "", 4),
    ("f64", 4, 64, "<f8", "d", 2), ("i8", 5, 8, "|i1", "b", 0), ("u8", 6, 8, "|u1", "B", 1),
    ("i32", 7, 32, "<i4", "i", 0), ("i64", 8, 64, "<i8", "q", 0), ("u16", 9, 16, "<u2", "H", 1),
    ("f8_e4m3", 16, 8, "", "", 10), ("f8_e5m2", 17, 8, "", "", 12), ("f8_e8m0", 18, 8, "", "", 14),
    ("i4", 32, 4, "", "", -1), ("u4", 33, 4, "", "", -1), ("u2", 34, 2, "", "", -1),
    # What callers have and files do not.
    ("i16", -1, 16, "<i2", "h", 0), ("u32", -1, 32, "<u4", "I", 1), ("u64", -1, 64, "<u8", "Q", 1),
    ("bool", -1, 8, "|b1", "?", 6),
)}
BY_CODE: Dict[int, DType] = {kind.code: kind for kind in DTYPES.values() if kind.code > 0}
BY_INTERFACE: Dict[str, DType] = {k.interface: k for k in DTYPES.values() if k.interface}
BY_DLPACK: Dict[Tuple[int, int], DType] = {
    (k.dlpack, k.bits): k for k in DTYPES.values() if k.dlpack >= 0}
_LONG: Dict[str, str] = {
    "float32": "f32", "float": "f32", "float16": "f16", "half": "f16", "bfloat16": "bf16",
    "float64": "f64", "double": "f64", "int8": "i8", "uint8": "u8", "int16": "i16",
    "int32": "i32", "int64": "i64", "uint16": "u16", "uint32": "u32", "uint64": "u64",
    "bool_": "bool", "float8_e4m3fn": "f8_e4m3", "float8_e5m2": "f8_e5m2",
    "float8_e8m0fnu": "f8_e8m0",
}
TORCH: Dict[str, str] = {short: name for name, short in reversed(list(_LONG.items()))}


def dtype_of(what: Any) -> DType:
    """A data type by any of its names: "f16", "float16", numpy.float16, torch.float16."""
    if isinstance(what, str) and what in DTYPES:
        return DTYPES[what]
    if isinstance(what, DType):
        return what
    name = what if isinstance(what, str) else getattr(what, "name", None)
    if not isinstance(name, str):
        name = getattr(what, "__name__", None) or str(what)
    name = name.rsplit(".", 1)[-1]
    kind = DTYPES.get(_LONG.get(name, name))
    if kind is None:
        raise ArgumentError(f"{what!r} is no data type; there are {', '.join(DTYPES)}")
    return kind


def unpack(dtype: DType, raw: bytes) -> Sequence[Any]:
    """Bytes as numbers."""
    count = len(raw) * 8 // dtype.bits
    if dtype.format:
        return struct.unpack(f"<{count}{dtype.format}", raw)
    if dtype.name == "bf16":
        wide = b"".join(b"\0\0" + raw[i:i + 2] for i in range(0, len(raw), 2))
        return struct.unpack(f"<{count}f", wide)
    raise UnsupportedError(f"Python has no numbers of the kind {dtype.name}; "
                           'take the bytes with view("u8")')
