"""Runs a generation to its end and collects what every row gave."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Optional

from . import _rows, _structs, _wait
from ._errors import CancelledError, error_of
from ._library import lib

if TYPE_CHECKING:
    from .session import Session

__all__ = ["Found", "search"]

CANCELLED = 4


class Found(NamedTuple):
    """One text.

    Attributes
    ----------
    tokens : list of int
        Without the prompt, with the id that ended it.
    score : float
        Of a beam; 0 without beams.
    """

    tokens: list[int]
    score: float


def _options(options: Mapping[str, Any], keep: list[Any]) -> _structs.GenerateOptions:
    made = _structs.GenerateOptions(ctypes.sizeof(_structs.GenerateOptions))
    for key, value in options.items():
        if key == "stop":
            if value:
                stop = (ctypes.c_int32 * len(value))(*value)
                keep.append(stop)
                made.stop, made.stop_count = ctypes.addressof(stop), len(value)
        elif key == "stream":
            stream = (ctypes.c_uint64 * len(value))(*value)
            keep.append(stream)
            made.stream = ctypes.addressof(stream)
        elif key == "top_p":
            made.top_p = value if 0 < value < 1 else 0.0
        elif key == "length_penalty":
            made.length_penalty = value if value != 0 else 1e-300
        else:
            setattr(made, key, value)
    return made


class _Run:
    """A generation of the library's; the session's lock is held."""

    def __init__(self, session: "Session", handle: Any, work: int) -> None:
        self.session = session
        self.handle = handle
        self.work = work  # of a step, for _wait

    def check(self, status: int) -> None:
        if status != 0:
            raise error_of(status, self.session._error, self.session.model.path)

    def drain(self, rows: int) -> list[list[int]]:
        """The tokens of every row, in order."""
        room = max(64, rows)
        events = (_structs.Event * room)()
        count = ctypes.c_int32()
        found: list[list[int]] = [[] for _ in range(rows)]
        while True:
            self.check(
                _wait.call(
                    self.session, self.work, lib.eet_generate_next, self.handle, events, room,
                    ctypes.byref(count), self.session._error,
                )  # fmt: skip
            )
            if count.value == 0:
                return found
            for event in events[: count.value]:
                if event.finish == CANCELLED:
                    raise CancelledError("the generation was cancelled")
                found[event.row].append(event.token)

    def beams(self, row: int, most: int) -> list[Found]:
        """The beams of a row whose search has ended, the best first."""
        found: list[Found] = []
        for index in range(most):
            beam = _structs.Beam(ctypes.sizeof(_structs.Beam))
            status = lib.eet_generate_beam(
                self.handle, row, index, ctypes.byref(beam), self.session._error
            )
            if status == 1 and index > 0:  # fewer texts than beams
                break
            self.check(status)
            found.append(Found(beam.tokens[: beam.count], float(beam.score)))
        return found


def search(
    session: "Session",
    tokens: Sequence[int],
    start: Sequence[int],
    source: Optional[Sequence[int]],
    options: Mapping[str, Any],
) -> list[list[Found]]:
    """Generates until every row has ended.

    Parameters
    ----------
    session : eet.Session
        Whose sequences are free.
    tokens, start : sequence of int
        The prompts, packed: row r owns tokens[start[r]:start[r + 1]].
    source : sequence of int, optional
        The source slot of each row.
    options : mapping
        Fields of eet_generate_options; ``stop`` and ``stream`` are sequences.

    Returns
    -------
    list of list of Found
        For each row its beams, the best first; without beams its one text.
    """
    rows = _rows.pack(tokens, start, source=source)
    keep: list[Any] = [rows]
    wanted = _options(options, keep)
    handle = ctypes.c_void_p()
    with session._lock:
        run = _Run(session, handle, session._costs * rows.total)
        run.check(
            _wait.call(
                session, run.work, lib.eet_generate_begin, session._open(),
                ctypes.byref(rows.batch), ctypes.byref(wanted), ctypes.byref(handle),
                session._error,
            )  # fmt: skip
        )
        try:
            run.work = session._costs * rows.count * max(1, 64 // rows.count)
            found = run.drain(rows.count)
            if wanted.beams <= 1:
                return [[Found(one, 0.0)] for one in found]
            return [run.beams(row, wanted.beams) for row in range(rows.count)]
        finally:
            lib.eet_generate_end(handle)
