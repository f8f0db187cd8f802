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
        return int(function(*arguments))
    return elsewhere(session, function, *arguments)


def elsewhere(session: Any, function: Any, *arguments: Any) -> int:
    """`call` for what may take long."""
    done = threading.Event()
    answer: List[int] = []

    def work() -> None:
        try:
            answer.append(int(function(*arguments)))
        finally:
            done.set()

    threading.Thread(target=work, name="eet-call", daemon=True).start()
    try:
        done.wait()
    except BaseException:
        session.cancel()
        while not done.is_set():
            try:
                done.wait()
            except BaseException:  # the buffers of the call are in use until it ends
                continue
        session._stale = answer != [11]
        raise
    return answer[0]
