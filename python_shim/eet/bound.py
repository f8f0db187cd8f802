"""A step whose arrays are the same at every call: nothing is looked at twice."""
from __future__ import annotations

import ctypes
from typing import Any, List

from . import _arrays, _streams, _wait
from ._errors import ArgumentError, error_of

__all__ = ["Bound"]


class Bound:
    """What `Session.bind` makes: calling it runs the step over what the arrays hold now.

    Attributes
    ----------
    results : array or list of arrays
        Where every call writes its outputs.
    """

    def __init__(self, session: Any, function: Any, given: List[Any], rows: Any, structs: Any,
                 made: List[Any], several: bool) -> None:
        for data, what in zip(given, ("tokens", "types", "positions")):
            if data is not None:
                _zero_copy(data, what)
        if any(one.padded is not None for one in made):
            raise ArgumentError("a bound step takes no attention_mask")
        self._session = session
        self._made = made
        self._structs = structs
        self._rows = rows
        self._keep = given
        results = [one.result for one in made]
        self.results: Any = results if several else results[0]
        self._function = function
        self._arguments = (ctypes.byref(rows.batch), structs, len(made), session._error)
        self._work = rows.total * session._costs
        with session._lock:
            session._settle(made, None)
        self._streams = {(one.kind, one.device) for one in made if one.order is not None}

    def __call__(self) -> Any:
        """Runs the step; gives `results`, which hold the new outputs. Errors as `Session.step`."""
        session = self._session
        with session._lock:
            if self._streams:  # the framework's current one may be another each time
                session._wait_for(_streams.current_stream(*one) for one in self._streams)
            if self._work < _wait.LONG and not session._stale:
                status = self._function(session._open(), *self._arguments)
                if status != 0:
                    raise error_of(status, session._error, session.model.path)
            else:
                session._call(self._function, self._rows.total, *self._arguments[:3])
        return self.results


def _zero_copy(data: Any, what: str) -> None:
    if not _arrays.is_array(data):
        raise ArgumentError(f"{what} of a bound step are an int32 array, which you write to")
    seen = _arrays.view(data)
    if seen.dtype.name != "i32" or not seen.contiguous or seen.device != "cpu":
        raise ArgumentError(f"{what} of a bound step are int32 in the CPU's memory, row-major; "
                            f"these are {seen.dtype.name} on {seen.device}")
