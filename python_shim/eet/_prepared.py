"""Calls whose structs are kept: when tokens of one form ask for outputs of one kind once more, only
addresses are new. Whatever is no flat list and no array of numpy or torch, lies elsewhere or is not
what it should be goes the longer way, through `_rows` and `_wanted`, as what has a mask does."""
from __future__ import annotations

import array
import ctypes
from typing import TYPE_CHECKING, Any, List, Optional, Tuple

from . import _streams, _structs, _wait
from ._errors import ArgumentError, error_of
from ._frameworks import Seen, framework_of
from ._library import lib
from ._wanted import Output, outputs_of, resolve

if TYPE_CHECKING:
    from .session import Session

LATER: Any = object()  # what `run` gives where the longer way is to be taken
_MOST = 16  # kept in a session
_FEW = 256  # ids that are narrowed by a loop of Python's
_PLAIN = (str, int)


def _asked(outputs: Any) -> Tuple[Any, Tuple[Any, ...]]:
    """What tells kinds of outputs apart, and the memory that the caller gives for each; (None, ())
    where it takes a closer look."""
    kind = type(outputs)
    if kind is Output:
        head, take, at, dtype, out = outputs
        if at is None and type(head) in _PLAIN and type(dtype) is str:
            return (Output, head, take, dtype), (out,)
    elif kind is tuple:
        if len(outputs) < 3 and all(type(one) in _PLAIN for one in outputs):
            return outputs, (None,)
    elif outputs is None or kind in _PLAIN:
        return (kind, outputs), (None,)
    elif kind is list and list not in map(type, outputs):
        each = [_asked(one) for one in outputs]
        if all(key is not None for key, _ in each):
            return (list, *(key for key, _ in each)), tuple(outs[0] for _, outs in each)
    return None, ()


class Prepared:
    """A call for tokens of one form and outputs of one kind."""

    __slots__ = ("_start", "_batch", "_structs", "_outputs", "_several", "_there", "_near", "_slot",
                 "_function", "_arguments", "_work", "total")

    def __init__(self, session: "Session", function: Any, tokens: Any, slot: Optional[int],
                 outputs: Any) -> None:
        framework = framework_of(tokens)
        assert framework is not None
        rows = session._pack(tokens, None, None, None, None, slot)
        self._start = rows.keep[0]  # and of the tokens nothing
        self._batch = rows.batch
        self._slot = ctypes.c_int32()
        if slot is not None:
            self._batch.sequence = ctypes.addressof(self._slot)
        self.total = rows.total
        self._work = rows.total * session._costs
        self._there = rows.device != "cpu"
        self._near = (ctypes.c_char * (8 * rows.total if self._there else 0))()
        wanted, self._several = outputs_of(session._heads, outputs)
        self._structs = (_structs.Output * max(len(wanted), 1))()
        hidden = session._width(function, rows)
        self._outputs: List[Tuple[Any, ...]] = []
        for i, one in enumerate(wanted):
            found = resolve(session._heads, hidden, one, rows, self._structs[i], [])
            make = framework.maker(found.shape, found.dtype, rows.device)
            self._outputs.append((self._structs[i], make, found.dtype, found.elements))
        self._function = function
        self._arguments = (ctypes.byref(self._batch), self._structs, len(wanted))

    def _fetch(self, session: "Session", pointer: int, size: int) -> int:
        """Brings ids from the device, behind what is in torch's stream already."""
        where = ctypes.addressof(self._near)
        status = lib.eet_session_fetch(session._open(), where, pointer, self.total * size,
                                       session._error)
        if status != 0:
            raise error_of(status, session._error, session.model.path)
        return where

    def _read(self, tokens: Any, pointer: int, size: int) -> Any:
        """Points the batch at the ids; gives what has to stay until the call ends."""
        if size == 4:
            self._batch.tokens = pointer
            return None
        if size == 8:
            tokens = (ctypes.c_int64 * self.total).from_address(pointer)[:]
        try:
            ids = array.array("i", tokens)
        except OverflowError:
            raise ArgumentError("a value among tokens does not fit 32 bits") from None
        except TypeError:  # a list of something else
            return LATER
        self._batch.tokens = ids.buffer_info()[0]
        return ids

    def run(self, session: "Session", tokens: Any, seen: Seen, slot: Optional[int],
            outs: Tuple[Any, ...]) -> Any:
        """The results, or LATER, and nothing has happened. The session's lock is held."""
        _, pointer, size, there = seen
        results, waits = [], there
        for (struct, make, dtype, count), out in zip(self._outputs, outs):
            if out is None:
                out, struct.data = make()
                struct.memory = self._there
            else:
                framework = framework_of(out)
                place = framework and framework.writable(out, dtype, count, session._index)
                if not place:
                    return LATER
                struct.data, struct.memory = place
                waits = waits or place[1]
            results.append(out)
        if waits:
            session._wait_for((_streams.torch_stream(session._index),))
            if there:
                pointer = self._fetch(session, pointer, size)
        keep = self._read(tokens, pointer, size)
        if keep is LATER:
            return LATER
        if slot is not None:
            self._slot.value = slot
        if self._work < _wait.LONG and not session._stale:
            status = self._function(session._open(), *self._arguments, session._error)
            if status != 0:
                raise error_of(status, session._error, session.model.path)
        else:
            session._call(self._function, self.total, *self._arguments)
        return results if self._several else results[0]


def run(session: "Session", function: Any, tokens: Any, slot: Optional[int], outputs: Any) -> Any:
    """What a call of the library gives for tokens without a mask, or LATER.

    Parameters
    ----------
    session : Session
    function : function
        ``lib.eet_step`` or ``lib.eet_encode``.
    tokens, outputs
        As in `Session.step`.
    slot : int, optional
        The sequence of the one row that there is.
    """
    framework = framework_of(tokens)
    seen = framework and framework.see(tokens, session._index)
    if not seen or (slot is not None and not 0 <= slot < 2**31):
        return LATER
    asked, outs = _asked(outputs)
    if asked is None:
        return LATER
    key = (seen[0], asked, slot is None, function is lib.eet_step)
    with session._lock:
        kept = session._prepared
        call = kept.pop(key, None)  # nobody else has it until it is back
        if call is None:
            call = Prepared(session, function, tokens, slot, outputs)
        if seen[2] == 8 and call.total > _FEW:
            return LATER
        results = call.run(session, tokens, seen, slot, outs)
        if len(kept) >= _MOST:
            del kept[next(iter(kept))]  # the one that was not used for longest
        kept[key] = call
    return results
