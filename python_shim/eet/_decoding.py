"""What a decoder object of the original keeps between its calls: which rows there are, where
their keys and values lie, and which columns were left out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Optional

from ._errors import ArgumentError, LimitError, StateError
from ._padded import Array, Packed, as_indexes, as_mask, pack

if TYPE_CHECKING:
    from .session import Session

__all__ = ["Rows"]


class Rows:
    """The rows of a batch in one session, in the caller's order.

    Parameters
    ----------
    session : eet.Session
    most : int
        Rows that there may be at once: the session's sequences.
    counted : bool
        True: positions count the tokens that are kept, so that a row gives the same with padding
        and without. False: they count columns, as Transformers' models do when no position_ids
        are given.
    pad : int
        The padding id of a model where it takes no position (RoBERTa), else -1: position_ids
        begin with pad + 1 there.
    """

    def __init__(
        self, session: "Session", most: int, counted: bool = True, pad: int = -1
    ) -> None:
        self.session = session
        self.most = most
        self.counted = counted
        self.pad = pad
        self.slots: list[int] = []
        self.sources: list[int] = []
        self.columns = 0
        self.keep: Optional[Array] = None  # (rows, columns); None: all
        self._next: Optional[Array] = None  # of the columns that `advance` will note

    def reset(self) -> None:
        """Forgets every row."""
        for slot in self.slots:
            self.session.trim(slot, 0)
        self.slots, self.sources, self.columns, self.keep = [], [], 0, None

    def begin(self, rows: int) -> None:
        """Makes room for new rows, in place of those that there are.

        Parameters
        ----------
        rows : int

        Raises
        ------
        eet.LimitError
            More than there is room for; nothing has changed.
        """
        if rows > self.most:
            raise LimitError(f"{rows} rows; max_batch is {self.most}")
        self.reset()
        self.slots = list(range(rows))

    def check_parents(self, reorder_state: object) -> list[int]:
        """Reads a reorder_state.

        Parameters
        ----------
        reorder_state : array of int
            reorder_state[b] is the row that row b goes on from.

        Returns
        -------
        list of int

        Raises
        ------
        eet.ArgumentError
            There is no such row, or there are no rows yet.
        eet.LimitError
            More rows than there is room for.
        """
        parents = as_indexes(reorder_state, "reorder_state")
        if not self.slots:
            raise StateError("reorder_state before a first pass: there are no rows to reorder")
        for row, parent in enumerate(parents):
            if not 0 <= parent < len(self.slots):
                raise ArgumentError(
                    f"reorder_state[{row}] is {parent}; there are {len(self.slots)} rows"
                )
        if len(parents) > self.most:
            raise LimitError(f"reorder_state names {len(parents)} rows; max_batch is {self.most}")
        return parents

    def gather(self, parents: Sequence[int]) -> None:
        """Row b becomes what row parents[b] was; rows that nobody names are given up.

        A row that goes on alone keeps its place. Others share their pages until they are
        written to.

        Parameters
        ----------
        parents : sequence of int
            From `check_parents`.
        """
        named = set(parents)
        free = sorted(set(range(self.most)) - {self.slots[p] for p in named})
        for row, slot in enumerate(self.slots):
            if row not in named:
                self.session.trim(slot, 0)
        slots, taken = [], set()
        for parent in parents:
            slot = self.slots[parent]
            if parent in taken:
                to = free.pop(0)
                self.session.fork(slot, to)
                slot = to
            taken.add(parent)
            slots.append(slot)
        if self.sources:
            self.sources = [self.sources[p] for p in parents]
        if self.keep is not None:
            self.keep = self.keep[list(parents)]
        self.slots = slots

    def _mask(self, mask: object, rows: int, width: int) -> Any:
        """The part of a mask for the new columns; what was said of older ones must stay."""
        import numpy

        if mask is None:
            return None
        total = self.columns + width
        found = as_mask(mask, rows, (width, total))
        if found.shape[1] == total and self.columns > 0:
            before = self.keep
            same = found[:, : self.columns].all() if before is None else bool(
                numpy.array_equal(found[:, : self.columns], before)
            )
            if not same:
                raise ArgumentError(
                    "attention_mask: another value for a column that was computed before"
                )
            found = found[:, self.columns :]
        return None if found.all() else found

    def pack(
        self,
        ids: Array,
        mask: object = None,
        types: object = None,
        positions: object = None,
    ) -> Packed:
        """Packs the new columns of the rows that there are.

        Parameters
        ----------
        ids : numpy.ndarray of int32
            (rows, columns).
        mask : array, optional
            Of the new columns, or of all columns until now.
        types, positions : array, optional
            Of the new columns.

        Returns
        -------
        Packed

        Raises
        ------
        eet.ArgumentError
            Another number of rows, or a mask that contradicts an earlier one.
        """
        import numpy

        rows, width = ids.shape
        if rows != len(self.slots):
            raise ArgumentError(
                f"{rows} rows after {len(self.slots)}; reorder_state says which rows go on, "
                "first_pass=True begins anew"
            )
        keep = self._mask(mask, rows, width)
        padded = keep is not None or self.keep is not None
        packed = pack(ids, keep, types, None)
        if positions is not None:
            packed = pack(ids, keep, types, positions)
            if self.pad >= 0:
                packed.positions = numpy.maximum(packed.positions - (self.pad + 1), -1)
        elif padded and not self.counted:
            packed.positions = packed.choose(self._columns(ids))
        self._next = keep
        return packed

    def _columns(self, ids: Array) -> Array:
        """The positions that Transformers gives new columns when it is given none."""
        import numpy

        if self.pad >= 0:
            real = ids != self.pad
            table = numpy.where(real, numpy.cumsum(real, axis=1) - 1 + self.columns, -1)
            return table.astype(numpy.int32)
        return numpy.arange(self.columns, self.columns + ids.shape[1], dtype=numpy.int32)[None]

    def advance(self, width: int) -> None:
        """Notes that the columns of the latest `pack` were computed.

        Parameters
        ----------
        width : int
        """
        import numpy

        keep = self._next
        if keep is not None or self.keep is not None:
            rows = len(self.slots)
            before = numpy.ones((rows, self.columns), bool) if self.keep is None else self.keep
            after = numpy.ones((rows, width), bool) if keep is None else keep
            self.keep = numpy.concatenate([before, after], axis=1)
        self.columns += width

    def straight(self, rows: int) -> bool:
        """Are these the rows that there are, row r in place r, none with columns left out or with a
        source? Then new columns without a mask need no packing, and `advance` notes them.

        Parameters
        ----------
        rows : int

        Returns
        -------
        bool
        """
        self._next = None
        return self.keep is None and not self.sources and self.slots == list(range(rows))

    def sequence(self, packed: Packed) -> list[int]:
        """The cache slot of each row that has tokens.

        Parameters
        ----------
        packed : Packed

        Returns
        -------
        list of int
        """
        return [self.slots[row] for row in packed.live]

    def source(self, packed: Packed) -> Optional[list[int]]:
        """The source slot of each row that has tokens, None without sources.

        Parameters
        ----------
        packed : Packed

        Returns
        -------
        list of int or None
        """
        return [self.sources[row] for row in packed.live] if self.sources else None
