"""Rows of tokens as callers write them, and as the library reads them: packed, without padding."""
from __future__ import annotations

import array
import ctypes
import operator
from typing import Any, List, Optional, Sequence, Tuple

from . import _arrays, _structs
from ._errors import ArgumentError


_BATCH = ctypes.sizeof(_structs.Batch)


class Rows:
    """A batch: packed ids, where rows begin, and how a padded caller wants results back."""

    __slots__ = ("kind", "device", "order", "count", "total", "width", "runs", "kept", "batch", "keep")

    def __init__(self) -> None:
        self.kind = "eet"
        self.device = "cpu"  # where results go: that of the tokens
        self.order: Optional[int] = None  # the stream that has been waited for, to read them
        self.count = 0
        self.total = 0
        self.width: Optional[int] = None  # columns, where rows were given as one 2-D array
        self.runs: Optional[List[Tuple[int, int, int]]] = None  # (from, to, tokens), padded
        self.kept: Optional[List[int]] = None  # the padded places that are kept
        self.batch = _structs.Batch()
        self.keep: List[Any] = []

    def extra(self, data: Any, what: str) -> int:
        """Ids beside the tokens (types, positions): of the same form. Their address."""
        if isinstance(data, (list, tuple)) and data and not isinstance(data[0], int):
            found = _arrays.ids([value for row in data for value in _flat(row, what)], what)
        else:
            found = _arrays.ids(data, what)
        if self.kept is not None and self.width is not None:
            if found.count != self.count * self.width:
                raise ArgumentError(f"{what} are {found.count}, the tokens {self.count} rows of "
                                    f"{self.width}")
            values = found.tolist()
            found = _arrays.ids([values[i] for i in self.kept], what)
        if found.count != self.total:
            raise ArgumentError(f"{what} are {found.count}, the tokens {self.total}")
        self.keep.append(found)
        return found.pointer

    def numbers(self, data: Any, what: str) -> int:
        """A number for each row. Their address."""
        try:
            data = [operator.index(data)]
        except TypeError:
            pass  # no single number
        found = _arrays.ids(data, what)
        if found.count != self.count:
            raise ArgumentError(f"{what} are {found.count}, the rows {self.count}")
        self.keep.append(found)
        return found.pointer

    def lists(self) -> List[List[int]]:
        """The ids of each row."""
        at = (ctypes.c_int32 * (self.count + 1)).from_address(self.batch.start)[:]
        ids = (ctypes.c_int32 * self.total).from_address(self.batch.tokens)[:]
        return [ids[a:b] for a, b in zip(at, at[1:])]

    def spread(self, pointer: int, size: int) -> None:
        """Moves packed results (`size` bytes a token) to their padded places, zeros between."""
        if self.runs is None or self.width is None:
            return
        end = self.count * self.width
        for source, target, tokens in reversed(self.runs):
            ctypes.memmove(pointer + target * size, pointer + source * size, tokens * size)
            after = target + tokens
            ctypes.memset(pointer + after * size, 0, (end - after) * size)
            end = target
        ctypes.memset(pointer, 0, end * size)


def _flat(row: Any, what: str) -> Sequence[int]:
    if isinstance(row, (list, tuple, range)):
        return row
    if not _arrays.is_array(row):
        raise ArgumentError(f"{what} are whole numbers or rows of them, not {type(row).__name__}")
    return _arrays.ids(row, what).tolist()


def _nested(tokens: Sequence[Any]) -> Tuple[_arrays.Ids, List[int], str]:
    start, packed = [0], array.array("i")
    for row in tokens:
        try:
            packed.extend(_flat(row, "tokens"))
        except OverflowError:
            raise ArgumentError("a value among tokens does not fit 32 bits") from None
        except TypeError:
            raise ArgumentError("tokens are whole numbers, in rows of one depth") from None
        start.append(len(packed))
    kind = _arrays.kind_of(tokens[0])
    return _arrays.Ids(packed.buffer_info()[0], (len(packed),), packed), start, kind


def _mask(rows: Rows, found: _arrays.Ids, mask: Any) -> Tuple[_arrays.Ids, List[int]]:
    """Packs what a mask (rows, columns) keeps: 1 = keep, as in Transformers."""
    if isinstance(mask, (list, tuple)) and mask and not isinstance(mask[0], int):
        mask = [int(value) for row in mask for value in _flat(row, "attention_mask")]
        shape: Tuple[int, ...] = (rows.count, len(mask) // rows.count)
    else:
        shape = _arrays.view(mask).shape if _arrays.is_array(mask) else (1, len(mask))
        if len(shape) > 2:
            raise ArgumentError(f"attention_mask has {len(shape)} axes; one of (rows, columns) "
                                "is taken")
        if _arrays.is_array(mask) and _arrays.view(mask).dtype.name[0] == "f":
            mask = [int(value) for value in _arrays.view(mask).flat()]
    marks = _arrays.ids(mask, "attention_mask").tolist()
    width = rows.width or 0
    if len(marks) != rows.count * width or shape[-1:] != (width,):
        raise ArgumentError(f"attention_mask has the shape {tuple(shape)}, the tokens have "
                            f"({rows.count}, {width})")
    if all(mark == 1 for mark in marks):
        return found, list(range(0, rows.count * width + 1, max(width, 1)))
    if any(mark not in (0, 1) for mark in marks):
        raise ArgumentError("attention_mask holds 1 where a token counts and 0 where not")
    kept = [i for i, mark in enumerate(marks) if mark]
    start = [0]
    for row in range(rows.count):
        start.append(start[-1] + sum(marks[row * width:(row + 1) * width]))
        if start[-1] == start[-2]:
            raise ArgumentError(f"attention_mask leaves nothing of row {row}")
    rows.kept = kept
    rows.runs = []
    for source, target in enumerate(kept):
        if rows.runs and rows.runs[-1][1] + rows.runs[-1][2] == target:
            last = rows.runs[-1]
            rows.runs[-1] = (last[0], last[1], last[2] + 1)
        else:
            rows.runs.append((source, target, 1))
    values = found.tolist()
    return _arrays.ids([values[i] for i in kept], "tokens"), start


def _take_apart(rows: Rows, tokens: Any, start: Any, mask: Any) -> Tuple[_arrays.Ids, Any]:
    """Packed ids, and starts as a list or array."""
    if start is not None:
        if mask is not None:
            raise ArgumentError("start tells packed rows; attention_mask is for padded ones")
        return _arrays.ids(tokens, "tokens"), list(start) if isinstance(start, range) else start
    if isinstance(tokens, (list, tuple)) and tokens and not isinstance(tokens[0], int) and (
            not hasattr(tokens[0], "__index__") or _arrays.is_array(tokens[0])):
        found, starts, kind = _nested(tokens)
        rows.kind = kind
        if mask is None:
            return found, starts
        lengths = {starts[i + 1] - starts[i] for i in range(len(tokens))}
        if len(lengths) != 1:
            raise ArgumentError("rows of different lengths take no attention_mask")
        rows.count, rows.width = len(tokens), lengths.pop()
        return _mask(rows, found, mask)
    found = _arrays.ids(tokens, "tokens")
    if len(found.shape) not in (1, 2):
        raise ArgumentError(f"tokens have {len(found.shape)} axes; 1 or 2 are taken")
    if len(found.shape) == 2:
        rows.count, rows.width = found.shape
    else:
        rows.count = 1
        if mask is not None:
            rows.width = found.count
    if mask is not None:
        return _mask(rows, found, mask)
    width = found.count // rows.count if rows.count else 0
    return found, range(0, found.count + 1, width) if width else [0] * (rows.count + 1)


def _one_row(tokens: List[int]) -> Rows:
    """A batch of one row, a flat list."""
    rows = Rows()
    total = len(tokens)
    found = _arrays.of_list([0, total, *tokens], (2 + total,), "tokens")
    rows.count, rows.total = 1, total
    batch = rows.batch
    batch.size, batch.rows = _BATCH, 1
    batch.start, batch.tokens = found.pointer, found.pointer + 8
    rows.keep.append(found)
    return rows


def pack(tokens: Any, start: Any = None, mask: Any = None, types: Any = None,
         positions: Any = None, sequence: Any = None, source: Any = None) -> Rows:
    """A batch of what a caller gives; the arguments are those of `Session.step`."""
    if type(tokens) is list and tokens and type(tokens[0]) is int and (
            start is mask is types is positions is sequence is source is None):
        return _one_row(tokens)
    rows = Rows()
    rows.kind = _arrays.kind_of(tokens)
    first = tokens[0] if isinstance(tokens, (list, tuple)) and tokens else tokens
    if _arrays.kind_of(first) == "torch":
        rows.device = _arrays.torch_device(first)
    found, starts = _take_apart(rows, tokens, start, mask)
    begins = _arrays.ids(starts, "start")
    rows.count = begins.count - 1
    rows.total = found.count
    if rows.count < 1 or found.count == 0 or not isinstance(starts, range):  # ranges are ours
        ends = begins.tolist()
        if rows.count < 1 or ends[0] != 0 or ends[-1] != found.count or any(
                ends[i] >= ends[i + 1] for i in range(rows.count)):
            raise ArgumentError("there are no tokens" if found.count == 0 else
                                f"start is 0, then ascending strictly to {found.count}; "
                                "a row has a token at least")
    batch = rows.batch
    batch.size = _BATCH
    batch.rows = rows.count
    batch.start = begins.pointer
    batch.tokens = found.pointer
    rows.keep += (begins, found)
    if types is not None:
        batch.types = rows.extra(types, "types")
    if positions is not None:
        batch.positions = rows.extra(positions, "positions")
    if sequence is not None:
        batch.sequence = rows.numbers(sequence, "sequence")
    if source is not None:
        batch.source = rows.numbers(source, "source")
    return rows
