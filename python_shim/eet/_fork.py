"""What a fork leaves behind: locks that another thread held."""
from __future__ import annotations

import os
import weakref
from typing import Any

_living: "weakref.WeakSet[Any]" = weakref.WeakSet()


def register(thing: Any) -> None:
    """Calls thing._after_fork() in the child of a fork."""
    _living.add(thing)


def _child() -> None:
    for thing in list(_living):
        thing._after_fork()


os.register_at_fork(after_in_child=_child)
