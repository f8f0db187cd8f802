"""Calls that Ctrl-C can end: the main thread waits while another one is in the library."""
from __future__ import annotations

import threading
from typing import Any, List

# A call below so many products of weights and tokens is over before anybody could press a key.
LONG = 300_000_000


def call(session: Any, work: int, function: Any, *arguments: Any) -> int:
    """function(*arguments), a status. KeyboardInterrupt and what other signal handlers raise
    cancel the session first and wait for the call to end."""
    if work < LONG or threading.current_thread() is not threading.main_thread():
        return function(*arguments)  # type: ignore[no-any-return]
    return elsewhere(session, function, *arguments)


class _Errand:
    """A call on its way in another thread, which is either not begun or waited for."""

    def __init__(self, function: Any, arguments: Any) -> None:
        self._gate = threading.Lock()
        self._function, self._arguments = function, arguments
        self.begun = False
        self.left = False  # nobody waits for it
        self.done = threading.Event()
        self.answer: List[int] = []

    def run(self) -> None:
        """In the other thread."""
        with self._gate:
            if self.left:
                return
            self.begun = True
        try:
            self.answer.append(int(self._function(*self._arguments)))
        finally:
            self.done.set()

    def leave(self, session: Any) -> None:
        """Keeps it from beginning, or ends it. However often somebody presses Ctrl-C: the buffers
        of the call are in use until then."""
        while True:
            try:
                with self._gate:
                    self.left = True
                if not self.begun:
                    return
                session.cancel()
                self.done.wait()
                return
            except BaseException:  # pressed again
                continue


def elsewhere(session: Any, function: Any, *arguments: Any) -> int:
    """`call` for what may take long."""
    errand = _Errand(function, arguments)
    try:
        threading.Thread(target=errand.run, name="eet-call", daemon=True).start()
        errand.done.wait()
    except BaseException:
        errand.leave(session)
        session._stale = errand.begun and errand.answer != [11]
        raise
    return errand.answer[0]
