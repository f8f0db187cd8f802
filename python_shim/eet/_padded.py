"""Padded arrays, as Transformers and Fairseq have them, to packed rows and back.

The engine takes rows of different lengths behind one another, without padding. A position that a
mask leaves out is never computed: it gives zeros in what comes back.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any, Optional

from ._errors import ArgumentError

if find_spec("numpy") is None:
    raise ImportError("eet.transformers and eet.fairseq need numpy: pip install eet[numpy]")

__all__ = ["Frame", "Packed", "as_indexes", "as_mask", "as_table", "pack"]

Array = Any  # of NumPy, which is imported when a call needs it
INT32 = (-(2**31), 2**31 - 1)


class Frame:
    """Whose arrays a caller uses: what goes back is of the same library, on the same device.

    Parameters
    ----------
    value : array or list
        An argument of the caller.
    dtype : str
        "f32", "f16" or "bf16": of what goes back. NumPy has no bf16 and gets f32.
    """

    def __init__(self, value: object, dtype: str = "f32") -> None:
        torch = sys.modules.get("torch")
        self.torch: Any = torch if torch is not None and isinstance(value, torch.Tensor) else None
        self.device = getattr(value, "device", None) if self.torch is not None else None
        self.dtype = dtype if self.torch is not None or dtype != "bf16" else "f32"

    def empty(self, shape: Sequence[int]) -> Any:
        """An array for the engine to fill.

        Parameters
        ----------
        shape : sequence of int

        Returns
        -------
        array
        """
        return self._make("empty", shape)

    def zeros(self, shape: Sequence[int]) -> Any:
        """An array of zeros.

        Parameters
        ----------
        shape : sequence of int

        Returns
        -------
        array
        """
        return self._make("zeros", shape)

    def _make(self, how: str, shape: Sequence[int]) -> Any:
        if self.torch is not None:
            make = getattr(self.torch, how)
            return make(tuple(shape), dtype=self._type(), device=self.device)
        import numpy

        kind = numpy.float16 if self.dtype == "f16" else numpy.float32
        return getattr(numpy, how)(shape, dtype=kind)

    def _type(self) -> Any:
        names = {"f32": "float32", "f16": "float16", "bf16": "bfloat16"}
        return getattr(self.torch, names[self.dtype])

    def index(self, values: Array) -> Any:
        """Indexes as this library wants them.

        Parameters
        ----------
        values : numpy.ndarray of int64

        Returns
        -------
        array
        """
        if self.torch is None:
            return values
        return self.torch.from_numpy(values).to(self.device)

    def ids(self, values: Array) -> Any:
        """Token ids, int64 as in both libraries.

        Parameters
        ----------
        values : numpy.ndarray

        Returns
        -------
        array
        """
        import numpy

        return self.index(numpy.ascontiguousarray(values, dtype=numpy.int64))


def _host(value: object) -> Array:
    """Whatever the caller has, as a NumPy array on the host."""
    import numpy

    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor):
        return value.detach().cpu().numpy()
    if isinstance(value, numpy.ndarray):
        return value
    if hasattr(value, "__cuda_array_interface__") and hasattr(value, "get"):
        return numpy.asarray(value.get())  # cupy
    if hasattr(value, "__dlpack__") and not hasattr(value, "__array_interface__"):
        return numpy.from_dlpack(value)
    try:
        return numpy.asarray(value)
    except ValueError:
        raise ArgumentError("rows of different lengths: pad them and give an attention_mask") from None


def as_table(value: object, name: str, ndim: int = 2) -> Array:
    """An argument of whole numbers, e.g. token ids.

    Parameters
    ----------
    value : array or nested list
        Of any integer type.
    name : str
        For errors.
    ndim : int
        Dimensions that it must have.

    Returns
    -------
    numpy.ndarray of int32

    Raises
    ------
    TypeError
        Not whole numbers.
    eet.ArgumentError
        Another number of dimensions, no elements, or a number beyond 32 bits.
    """
    import numpy

    found = _host(value)
    if found.dtype.kind not in "iu" and not (found.size == 0 and isinstance(value, (list, tuple))):
        raise TypeError(f"{name}: {found.dtype} where whole numbers belong")
    if found.ndim != ndim or found.size == 0:
        raise ArgumentError(f"{name}: shape {found.shape}; {ndim} dimensions with elements are wanted")
    if found.dtype.itemsize > 4 or found.dtype == numpy.uint32:
        low, high = int(found.min()), int(found.max())
        if low < INT32[0] or high > INT32[1]:
            raise ArgumentError(f"{name}: {low if low < INT32[0] else high} is no 32-bit number")
    return numpy.ascontiguousarray(found, dtype=numpy.int32)


def as_mask(
    value: object, rows: int, widths: Sequence[int], name: str = "attention_mask"
) -> Array:
    """A mask with Transformers' polarity: 1 keeps a position, 0 leaves it out.

    Parameters
    ----------
    value : array or nested list
        (batch, columns) of 0 and 1 or of bools.
    rows : int
        Rows that it must have.
    widths : sequence of int
        Columns that it may have.
    name : str
        For errors.

    Returns
    -------
    numpy.ndarray of bool

    Raises
    ------
    eet.ArgumentError
        Another shape, or values that are neither 0 nor 1.
    """
    found = _host(value)
    if found.ndim in (3, 4):
        raise ArgumentError(
            f"{name}: {found.ndim} dimensions; masks of queries and keys are for eet.ops, "
            "here it is (batch, columns)"
        )
    if found.ndim != 2 or found.shape[0] != rows or found.shape[1] not in widths:
        wanted = " or ".join(f"({rows}, {width})" for width in sorted(set(widths)))
        raise ArgumentError(f"{name}: shape {found.shape}; {wanted} is wanted")
    if found.dtype.kind == "b":
        return found
    keep = found == 1
    if not (keep | (found == 0)).all():
        raise ArgumentError(f"{name}: values beside 0 and 1; 1 keeps a position, 0 leaves it out")
    return keep


def as_indexes(value: object, name: str) -> list[int]:
    """A list of indexes, one dimension.

    Parameters
    ----------
    value : array or list of int
    name : str
        For errors.

    Returns
    -------
    list of int
    """
    found = _host(value)
    if found.dtype.kind not in "iu" or found.ndim != 1 or found.size == 0:
        raise ArgumentError(f"{name}: shape {found.shape}; a list of whole numbers is wanted")
    return [int(i) for i in found]


class Packed:
    """Rows without their padding.

    Attributes
    ----------
    rows, width : int
        Shape of the padded array.
    live : list of int
        Rows with a token; the others go nowhere and give zeros.
    start, tokens : numpy.ndarray of int32
        As in `eet.h`: row i of `live` owns tokens[start[i]:start[i + 1]].
    types, positions : numpy.ndarray of int32, optional
    at : numpy.ndarray of int64, optional
        Flat index of every token in the padded array; None where nothing is left out.
    """

    def __init__(self, ids: Array, keep: Any) -> None:
        import numpy

        self.rows, self.width = ids.shape
        self.at: Optional[Any] = None
        self.types: Any = None
        self.positions: Any = None
        if keep is None or keep.all():
            self.live = list(range(self.rows))
            self.tokens = ids.reshape(-1)
            self.start = numpy.arange(
                0, self.rows * self.width + 1, self.width, dtype=numpy.int32
            )
            return
        counts = keep.sum(axis=1)
        self.live = [int(r) for r in numpy.flatnonzero(counts)]
        self.at = numpy.flatnonzero(keep)
        self.tokens = ids.reshape(-1)[self.at]
        self.start = numpy.zeros(len(self.live) + 1, dtype=numpy.int32)
        numpy.cumsum(counts[self.live], out=self.start[1:])

    def choose(self, table: Array) -> Array:
        """The kept elements of another padded array.

        Parameters
        ----------
        table : numpy.ndarray
            (rows, width), or (1, width) for all rows.

        Returns
        -------
        numpy.ndarray
        """
        import numpy

        if table.shape[0] != self.rows:
            table = numpy.broadcast_to(table, (self.rows, self.width))
        flat = numpy.ascontiguousarray(table).reshape(-1)
        return flat if self.at is None else flat[self.at]

    def find(self, columns: Sequence[int]) -> Any:
        """Where one token of each row lies among the packed ones.

        Parameters
        ----------
        columns : sequence of int
            A column for every row; negative ones count from the end.

        Returns
        -------
        numpy.ndarray of int32
            For the rows of `live`.

        Raises
        ------
        eet.ArgumentError
            A column that the row has not, or that its mask leaves out.
        """
        import numpy

        if len(columns) != self.rows:
            raise ArgumentError(f"{len(columns)} columns for {self.rows} rows")
        found = []
        for row in self.live:
            column = columns[row] + (self.width if columns[row] < 0 else 0)
            if not 0 <= column < self.width:
                raise ArgumentError(f"column {columns[row]} in row {row}; there are {self.width}")
            flat = row * self.width + column
            index = flat if self.at is None else int(numpy.searchsorted(self.at, flat))
            if self.at is not None and (index == len(self.at) or self.at[index] != flat):
                raise ArgumentError(f"column {columns[row]} in row {row} is left out by the mask")
            found.append(index)
        return numpy.array(found, dtype=numpy.int32)

    def spread(self, frame: Frame, values: Any) -> Any:
        """A value of every token, back in the padded shape.

        Parameters
        ----------
        frame : Frame
        values : array
            (tokens, size).

        Returns
        -------
        array
            (rows, width, size), zeros where nothing was computed.
        """
        size = values.shape[-1]
        if self.at is None:
            return values.reshape(self.rows, self.width, size)
        full = frame.zeros((self.rows * self.width, size))
        full[frame.index(self.at)] = values
        return full.reshape(self.rows, self.width, size)

    def spread_rows(self, frame: Frame, values: Any) -> Any:
        """A value of every row that has tokens, for all rows.

        Parameters
        ----------
        frame : Frame
        values : array
            (rows of `live`, size).

        Returns
        -------
        array
            (rows, size), zeros in rows without tokens.
        """
        if len(self.live) == self.rows:
            return values
        import numpy

        full = frame.zeros((self.rows, values.shape[-1]))
        full[frame.index(numpy.array(self.live, dtype=numpy.int64))] = values
        return full


def _broadcast(value: object, name: str, packed: Packed) -> Any:
    table = as_table(value, name)
    if table.shape not in ((packed.rows, packed.width), (1, packed.width)):
        raise ArgumentError(
            f"{name}: shape {table.shape}; ({packed.rows}, {packed.width}) or "
            f"(1, {packed.width}) is wanted"
        )
    return packed.choose(table)


def pack(
    ids: Array,
    keep: Any = None,
    types: object = None,
    positions: object = None,
) -> Packed:
    """Packs token ids and what belongs to them.

    Parameters
    ----------
    ids : numpy.ndarray of int32
        (batch, columns).
    keep : numpy.ndarray of bool, optional
        (batch, columns); default: all.
    types, positions : array, optional
        (batch, columns), or (1, columns) for all rows.

    Returns
    -------
    Packed
    """
    packed = Packed(ids, keep)
    if types is not None:
        packed.types = _broadcast(types, "token_type_ids", packed)
    if positions is not None:
        packed.positions = _broadcast(positions, "position_ids", packed)
    return packed
