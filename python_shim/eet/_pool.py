"""Sessions that nobody uses at the moment."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from ._errors import Error

if TYPE_CHECKING:
    from .session import Session

__all__ = ["Pool"]


class Pool:
    """Hands sessions out and takes them back; more are made when none is idle.

    Parameters
    ----------
    make : callable
        Makes a session for so many sequences.
    """

    def __init__(self, make: Callable[[int], "Session"]) -> None:
        self._idle: list[tuple[int, "Session"]] = []
        self._make = make
        self._lock = threading.RLock()  # a finalizer may come while we hold it

    def take(self, rows: int) -> tuple[int, "Session"]:
        """A session with room for so many rows.

        Parameters
        ----------
        rows : int

        Returns
        -------
        most : int
            The rows that it has room for.
        session : eet.Session
        """
        with self._lock:
            best = -1
            for index, (most, _) in enumerate(self._idle):
                if most >= rows and (best < 0 or most < self._idle[best][0]):
                    best = index
            if best >= 0:
                return self._idle.pop(best)
        most = 1 << (rows - 1).bit_length()
        return most, self._make(most)

    def give(self, most: int, session: "Session") -> None:
        """Takes a session back; its sequences are freed.

        Parameters
        ----------
        most : int
        session : eet.Session
        """
        if session.closed:
            return
        try:
            session._forget()
        except Error:  # the device died, or this is the child of a fork
            return
        with self._lock:
            self._idle.append((most, session))

    def close(self) -> None:
        """Closes the idle ones."""
        with self._lock:
            idle, self._idle = self._idle, []
        for _, session in idle:
            session.close()
