"""What a caller wants of a call, resolved against a model and a batch."""
from __future__ import annotations

import ctypes
import math
from typing import Any, List, NamedTuple, Optional, Tuple, Union

from . import _arrays, _device, _rows, _streams, _structs
from ._errors import ArgumentError, UnsupportedError
from .model import TAKES, Head, head_among


class Output(NamedTuple):
    """One output of a call.

    Attributes
    ----------
    head : str or int
        A head's name or number, or ``"hidden"``.
    take : str or None
        ``"first"``, ``"last"``, ``"every"``, ``"given"``, ``"mean"``; None: the head's own.
    at : list or array of int, or None
        For ``"given"``: indexes into the packed tokens, ascending.
    dtype : str or dtype
        ``"f32"``, ``"f16"`` or ``"bf16"``.
    out : array or None
        Where to write it: row-major, of that data type and as many elements; None: new memory.
    """

    head: Union[str, int] = "hidden"
    take: Optional[str] = None
    at: Any = None
    dtype: Any = "f32"
    out: Any = None


_SIZE = ctypes.sizeof(_structs.Output)


class Resolved(NamedTuple):
    """An Output, resolved against a model and a batch, wherever it will lie."""

    shape: Tuple[int, ...]
    dtype: _arrays.DType
    lines: int  # values of a token or a row each; `shape` may have room for more
    every: bool  # of every token

    @property
    def elements(self) -> int:
        """Elements of the shape."""
        return math.prod(self.shape)

    @property
    def row_bytes(self) -> int:
        """Bytes of a line."""
        return self.shape[-1] * self.dtype.bits // 8


def resolve(heads: Tuple[Head, ...], hidden: int, wanted: Output, rows: _rows.Rows, into: Any,
            keep: List[Any]) -> Resolved:
    """Writes all of an output but its address to `into`; what must live as long goes to `keep`."""
    head: Optional[Head] = None
    if wanted.head not in ("hidden", _structs.HIDDEN):
        head = head_among(heads, wanted.head)
    width = hidden if head is None else head.width
    take = wanted.take or ("given" if wanted.at is not None else
                           "every" if head is None else head.take)
    if take not in TAKES:
        raise ArgumentError(f"take is {take!r}; there are {', '.join(TAKES)}")
    dtype = _arrays.dtype_of(wanted.dtype)
    into.size = _SIZE
    into.head = _structs.HIDDEN if head is None else head.index
    into.take = 0 if wanted.take is None and take != "given" else TAKES[take]
    into.dtype = dtype.code
    lines = rows.count
    every = take == "every"
    if take == "given":
        if wanted.at is None:
            raise ArgumentError('take is "given", and at is not')
        at = _arrays.ids(wanted.at, "at")
        keep.append(at)
        into.count, into.at, lines = at.count, at.pointer, at.count
    elif every:
        lines = rows.total
    shape: Tuple[int, ...] = (lines, width)
    if every and rows.width is not None:
        shape = (rows.count, rows.width, width)
    found = Resolved(shape, dtype, lines, every)
    into.bytes = found.elements * dtype.bits // 8
    return found


class Wanted:
    """An Output, resolved, and its memory."""

    __slots__ = ("result", "pointer", "row_bytes", "device", "padded", "kind", "order")

    def __init__(self, heads: Tuple[Head, ...], hidden: int, wanted: Output, rows: _rows.Rows,
                 into: Any, keep: List[Any], stream: Optional[int]) -> None:
        found = resolve(heads, hidden, wanted, rows, into, keep)
        self.row_bytes = found.row_bytes
        self.device = rows.device
        self.padded = rows if found.every and rows.runs is not None else None
        self.kind = rows.kind
        self.order: Optional[int] = None
        if wanted.out is not None:
            seen = _writable(wanted.out, found.shape, found.dtype, stream)
            self.result, self.kind = wanted.out, _arrays.kind_of(wanted.out)
            self.pointer, self.device, self.order = seen.pointer, seen.device, seen.order
            keep.append(seen)
            if self.padded is not None and self.device != "cpu":
                raise UnsupportedError("out on a device takes no attention_mask; leave it out")
        else:
            made = found.shape if self.padded is None or self.device == "cpu" else (
                found.lines, found.shape[-1])
            if made != found.shape and rows.kind not in ("torch", "cupy"):
                raise UnsupportedError("an attention_mask for arrays on a device takes those of "
                                       "torch or CuPy; give packed rows (start=)")
            self.result, self.pointer = _arrays.empty(rows.kind, made, found.dtype, self.device)
            if self.device != "cpu":  # its memory may have been in use until now
                self.order = _streams.current_stream(self.kind, self.device)
        into.memory = 0 if self.device == "cpu" else 1
        into.data = self.pointer

    def finish(self) -> Any:
        """The result, rows in their padded places."""
        rows = self.padded
        if rows is not None and self.device == "cpu":
            rows.spread(self.pointer, self.row_bytes)
        elif rows is not None and rows.width is not None:  # its framework moves it there
            whole = _device.zeros(self.result, (rows.count * rows.width, self.result.shape[-1]))
            whole[rows.kept] = self.result
            self.result = whole.reshape(rows.count, rows.width, -1)
        return self.result


def _writable(out: Any, shape: Tuple[int, ...], dtype: _arrays.DType,
              stream: Optional[int]) -> _arrays.View:
    found = _arrays.view(out, stream)
    count = math.prod(shape)
    if found.readonly:
        raise ArgumentError("out is read-only")
    if found.dtype is not dtype and found.dtype.name != dtype.name and not (
            dtype.name == "bf16" and found.dtype.name == "u16"):
        raise ArgumentError(f"out holds {found.dtype.name}; the output is {dtype.name}")
    if found.count != count or not found.contiguous:
        raise ArgumentError(f"out has the shape {found.shape}; the output has {shape}, "
                            "row-major without gaps")
    return found


Spec = Union[None, str, int, Output, Tuple[Any, ...], List[Any]]


def outputs_of(heads: Tuple[Head, ...], outputs: Spec) -> Tuple[List[Output], bool]:
    """The outputs asked for, and whether they were a list."""
    if outputs is None:
        return [Output(0 if heads else "hidden")], False
    if isinstance(outputs, list):
        if any(isinstance(one, list) for one in outputs):
            raise ArgumentError("outputs are a list of outputs, not of lists")
        return [outputs_of(heads, one)[0][0] for one in outputs], True
    if isinstance(outputs, Output):
        return [outputs], False
    if isinstance(outputs, tuple):
        return [Output(*outputs)], False
    return [Output(outputs)], False
