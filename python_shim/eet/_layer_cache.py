"""Keys and values that a view of an attention keeps between calls."""

from __future__ import annotations

from typing import Any, Optional

from ._errors import ArgumentError, StateError
from ._padded import Frame, as_indexes

LEAST_ROOM = 64  # tokens that a cache has room for at first


class Cache:
    """Keys and values of one attention, where its input lies; room grows as it has to."""

    def __init__(self) -> None:
        self.keys: Any = None
        self.values: Any = None
        self.lengths: list[int] = []
        self._frame: Optional[Frame] = None

    def begin(self, like: object, rows: int, room: int, heads: int, size: int) -> None:
        """Forgets what was there; `like` says whose arrays, and where."""
        self._frame = Frame(like)
        shape = (rows, max(room, LEAST_ROOM), heads, size)
        self.keys, self.values = self._frame.zeros(shape), self._frame.zeros(shape)
        self.lengths = [0] * rows

    def reserve(self, tokens: int) -> None:
        """Makes room for so many more in every row."""
        assert self.keys is not None
        room, wanted = self.keys.shape[1], max(self.lengths, default=0) + tokens
        if wanted > room:
            self.keys = self._grown(self.keys, max(wanted, 2 * room))
            self.values = self._grown(self.values, max(wanted, 2 * room))

    def _grown(self, old: Any, room: int) -> Any:
        assert self._frame is not None
        made = self._frame.zeros((old.shape[0], room, *old.shape[2:]))
        made[:, : old.shape[1]] = old
        return made

    def gather(self, reorder_state: object) -> None:
        """Row b goes on from row reorder_state[b]."""
        parents = as_indexes(reorder_state, "reorder_state")
        if self.keys is None or self.values is None:
            raise StateError("reorder_state before a first pass: there are no rows to reorder")
        for row, parent in enumerate(parents):
            if not 0 <= parent < len(self.lengths):
                raise ArgumentError(
                    f"reorder_state[{row}] is {parent}; there are {len(self.lengths)} rows"
                )
        self.keys, self.values = self.keys[parents], self.values[parents]
        self.lengths = [self.lengths[p] for p in parents]
