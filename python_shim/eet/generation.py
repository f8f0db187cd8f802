"""A generation that runs in a session, token by token."""
from __future__ import annotations

import ctypes
import struct
import time
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple, Union

from . import _arrays, _rows, _structs, _wait
from ._errors import ArgumentError, ClosedError, StateError, error_of
from ._library import lib
from .model import head_among
from .session import Session

__all__ = ["Beam", "Running", "Token"]

_EVENT = struct.Struct("<iiiifi")  # eet_event
CANCELLED = 4
REASONS = {0: None, 1: "eos", 2: "stop", 3: "length", 4: "cancelled"}
_EARLY = {False: 0, True: 1, "never": 2}
_NO_PENALTY = 1e-300  # EET_LENGTH_PENALTY_NONE
_SLOW = 0.05  # seconds of a step from which on Ctrl-C would be felt as late
_QUICK = 0.001  # and up to which others may wait for some steps more
_PLAIN = frozenset((int, float, bool, str, type(None)))


class Token(NamedTuple):
    """One token of a generation.

    Attributes
    ----------
    row : int
        Of the prompts.
    token : int or None
        The id chosen; None: the row was cancelled.
    position : int
        In the sequence, prompt included.
    finish_reason : str or None
        ``"eos"``, ``"stop"``, ``"length"``, ``"cancelled"`` where the row ends with it.
    log_prob : float
        By the model's own softmax.
    top : tuple of (int, float)
        The likeliest ids there, where they were asked for.
    """

    row: int
    token: Optional[int]
    position: int
    finish_reason: Optional[str]
    log_prob: float
    top: Tuple[Tuple[int, float], ...] = ()


class Beam(NamedTuple):
    """One text of a beam search."""

    token_ids: List[int]
    finish_reason: Optional[str]
    log_probs: List[float]
    score: float


def options_of(session: Session, *, head: Union[int, str] = 0,
               max_new_tokens: Optional[int] = None, min_new_tokens: int = 0,
               ignore_eos: bool = False, stop_token_ids: Sequence[int] = (),
               temperature: float = 0.0, top_k: int = 0, top_p: float = 1.0,
               repetition_penalty: float = 1.0, seed: int = 0,
               streams: Optional[Sequence[int]] = None, num_beams: int = 1,
               length_penalty: float = 1.0, early_stopping: Union[bool, str] = False,
               forced_token_ids: Sequence[int] = (), logprobs: int = 0) -> Tuple[Any, List[Any]]:
    """eet_generate_options, and what must live as long as they do."""
    options = _structs.GenerateOptions(ctypes.sizeof(_structs.GenerateOptions))
    if max_new_tokens is not None and max_new_tokens < 1:
        raise ArgumentError(f"max_new_tokens is {max_new_tokens}; 1 is the least")
    if not 0.0 < top_p <= 1.0:
        raise ArgumentError(f"top_p is {top_p}; it is above 0 and at most 1")
    if repetition_penalty <= 0.0:
        raise ArgumentError(f"repetition_penalty is {repetition_penalty}; it is above 0")
    if num_beams < 1:
        raise ArgumentError(f"num_beams is {num_beams}; 1 is the least")
    if early_stopping not in _EARLY:
        raise ArgumentError(f'early_stopping is {early_stopping!r}; False, True or "never"')
    if not 0 <= seed < 2**64:
        raise ArgumentError(f"seed is {seed}; it has 64 bits")
    keep: List[Any] = []
    if len(stop_token_ids) > 0:
        stop = _arrays.ids(list(stop_token_ids), "stop_token_ids")
        options.stop_count, options.stop = stop.count, stop.pointer
        keep.append(stop)
    if len(forced_token_ids) > 0:
        forced = _arrays.ids(list(forced_token_ids), "forced_token_ids")
        options.forced_count, options.forced = forced.count, forced.pointer
        keep.append(forced)
    options.head = head_among(session._heads, head).index
    options.max_new_tokens = _arrays.number(max_new_tokens or 0, "max_new_tokens")
    options.min_new_tokens = _arrays.number(min_new_tokens, "min_new_tokens")
    options.ignore_eos = int(ignore_eos)
    options.temperature, options.top_k = temperature, _arrays.number(top_k, "top_k")
    options.top_p = 0.0 if top_p == 1.0 else top_p
    options.repetition_penalty = repetition_penalty
    options.seed = seed
    options.beams = _arrays.number(num_beams, "num_beams")
    options.early_stopping = _EARLY[early_stopping]
    if num_beams > 1:
        options.length_penalty = length_penalty or _NO_PENALTY
    options.top_n = _arrays.number(logprobs, "logprobs")
    if streams is not None:
        numbers = (ctypes.c_uint64 * len(streams))(*streams)
        options.stream = ctypes.addressof(numbers)
        keep.append(numbers)
    return options, keep


class Room:
    """Where a session's generations, one after the other, have their events written."""

    __slots__ = ("events", "size", "where", "count", "count_at", "error", "raw", "integers", "reals")

    def __init__(self, rows: int) -> None:
        self.size = max(rows, 64)
        self.events = (_structs.Event * self.size)()
        self.where = ctypes.addressof(self.events)
        self.count = ctypes.c_int32()
        self.count_at = ctypes.byref(self.count)
        self.error = _structs.Error()
        self.raw = memoryview(self.events).cast("B")
        self.integers, self.reals = self.raw.cast("i"), self.raw.cast("f")


class Running(Iterator[List[Token]]):
    """The tokens of a generation, a list a step; `Session.generate` makes it.

    Until it ended or was closed the session belongs to it.
    """

    __slots__ = ("_session", "_handle", "_keep", "_top", "tells_top", "rows", "_beams", "_seconds",
                 "_first", "_left", "ended", "_room", "__weakref__")

    def __init__(self, session: Session, rows: _rows.Rows, options: Any, keep: List[Any]) -> None:
        self._session = session
        self._handle: Optional[int] = None
        self._keep = (rows, options, keep)
        self._top = int(options.top_n)
        self.tells_top = self._top > 0
        self.rows = rows.count
        self._beams = int(options.beams)
        self._seconds = 1.0 if self._beams > 1 else 0.0
        self._first = rows.total * session._costs
        most = int(options.max_new_tokens)  # 0: as many as fit
        self._left = rows.count * most if most > 0 and self._beams == 1 else 2**62
        self.ended = False
        out = ctypes.c_void_p()
        with session._lock:
            if session._running is not None:
                raise StateError("another generation runs in the session; close it first")
            if session._room is None or session._room.size < rows.count:
                session._room = Room(rows.count)
            self._room: Room = session._room
            try:
                arguments = (ctypes.byref(rows.batch), ctypes.byref(options), ctypes.byref(out))
                if self._first < _wait.LONG and not session._stale:
                    status = lib.eet_generate_begin(session._open(), *arguments, session._error)
                    if status != 0:
                        raise error_of(status, session._error, session.model.path)
                else:
                    session._call(lib.eet_generate_begin, rows.total, *arguments)
                self._handle = out.value
                session._running = self
            except BaseException:
                if out.value:  # Ctrl-C, and it has begun nevertheless
                    self._handle = int(out.value)
                    self.close()
                raise

    def __iter__(self) -> "Running":
        return self

    def __next__(self) -> List[Token]:
        if self.ended:
            raise StopIteration
        with self._session._lock:
            tokens = [self._token(self._room.events[i]) for i in range(self._take())]
        if not tokens:
            self.ended = True
            raise StopIteration
        return tokens

    def drain(self) -> Iterator[Tuple[Any, ...]]:
        """The events that are left, as they are in C (row, token, position, finish, log_prob, 0),
        for who wants no `Token` of each."""
        seen, size, lock = self._room.raw, _EVENT.size, self._session._lock
        while not self.ended:
            with lock:
                count = self._take_some()
            yield from _EVENT.iter_unpack(seen[: count * size])

    def drain_row(self) -> Tuple[List[int], List[float], Optional[str]]:
        """What is left of a generation that has one row: its ids, their log-probs, and how it ended."""
        ids: List[int] = []
        log_probs: List[float] = []
        finish, fields, lock = 0, _EVENT.size // 4, self._session._lock
        integers, reals = self._room.integers, self._room.reals
        while not self.ended:
            with lock:
                end = self._take_some() * fields
            if end > 0:
                ids += integers[1:end:fields].tolist()
                log_probs += reals[4:end:fields].tolist()
                finish = integers[end - fields + 3]
        if finish == CANCELLED:
            del ids[-1:], log_probs[-1:]
        return ids, log_probs, REASONS[finish]

    def _take_some(self) -> int:
        """`_take`, and more steps where they are quick, while their events have room behind one
        another. How many events; the lock is held. Notes whether these were the last ones."""
        have = self._take()
        self.ended = have == 0
        room, following = self._room, lib.eet_generate_next
        most = min(room.size - self.rows, self._left - 1) if self._seconds < _QUICK else -1
        while have <= most and not self.ended:
            status = following(self._handle, room.where + have * _EVENT.size, room.size - have,
                               room.count_at, room.error)
            if status != 0:
                raise error_of(status, room.error, self._session.model.path)
            came = room.count.value
            self.ended = came == 0
            have += came
        self._left -= have
        self.ended = self.ended or self._left == 0
        return have

    def _take(self) -> int:
        """Runs until there are events; how many. The lock is held."""
        session, room = self._session, self._room
        if self._handle is None:
            raise ClosedError("the generation is closed")
        session._open()
        work = _wait.LONG if self._seconds > _SLOW else self._first
        arguments = (self._handle, room.where, room.size, room.count_at, room.error)
        began = time.monotonic()
        if work < _wait.LONG:
            status = lib.eet_generate_next(*arguments)
        else:
            status = _wait.call(session, work, lib.eet_generate_next, *arguments)
        self._first = 0
        if self._beams == 1:
            self._seconds = time.monotonic() - began
        if status != 0:
            raise error_of(status, room.error, session.model.path)
        return int(room.count.value)

    def _token(self, event: Any) -> Token:
        reason = REASONS.get(event.finish, "unknown")
        if reason == "cancelled":
            return Token(event.row, None, event.position, reason, 0.0)
        return Token(event.row, event.token, event.position, reason, event.log_prob,
                     self._likeliest(event) if self._top > 0 else ())

    def _likeliest(self, event: Any) -> Tuple[Tuple[int, float], ...]:
        tokens = (ctypes.c_int32 * self._top)()
        log_probs = (ctypes.c_float * self._top)()
        count = ctypes.c_int32()
        status = lib.eet_generate_top(self._handle, ctypes.byref(event), tokens, log_probs,
                                      self._top, ctypes.byref(count), self._room.error)
        if status != 0:
            raise error_of(status, self._room.error)
        return tuple((tokens[i], log_probs[i]) for i in range(count.value))

    def beams(self, row: int) -> List[Beam]:
        """The texts of a row whose search has ended, the best one first."""
        found: List[Beam] = []
        with self._session._lock:
            if self._handle is None:
                raise ClosedError("the generation is closed")
            while len(found) < self._beams:
                beam = _structs.Beam(ctypes.sizeof(_structs.Beam))
                status = lib.eet_generate_beam(self._handle, row, len(found), ctypes.byref(beam),
                                               self._room.error)
                if status == 1 and found:  # there are fewer
                    break
                if status != 0:
                    raise error_of(status, self._room.error)
                found.append(Beam(beam.tokens[:beam.count], REASONS.get(beam.finish),
                                  beam.log_probs[:beam.count], beam.score))
        return found

    def close(self) -> None:
        """Ends the generation; the session is free again. Twice is fine."""
        with self._session._lock:
            if self._handle is None:
                return
            if self._session._stale:  # a cancellation that its call did not see: spend it here
                lib.eet_generate_next(self._handle, self._room.where, self._room.size,
                                      self._room.count_at, None)
                self._session._stale = False
            lib.eet_generate_end(self._handle)
            self._handle = None
            self._session._running = None

    def __enter__(self) -> "Running":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def start(session: Session, rows: _rows.Rows, how: Dict[str, Any]) -> Running:
    """A generation for packed prompts; `how` are the arguments of `options_of`, whose struct is kept
    for the next one that has the same."""
    kept = session._asked
    try:
        if kept is not None and kept[0] == how:
            return Running(session, rows, *kept[1:])
    except (RuntimeError, ValueError):  # arrays are not compared
        pass
    found = options_of(session, **how)
    session._asked = (how, *found) if _PLAIN.issuperset(map(type, how.values())) else None
    return Running(session, rows, *found)
