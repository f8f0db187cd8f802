"""What `Generator` and `Encoder` have alike: a model, given or opened here, and its session."""
from __future__ import annotations

import os
import threading
from typing import Any, TypeVar, Union

from ._errors import ClosedError
from .model import Model
from .session import Session

_Self = TypeVar("_Self", bound="Runner")


class Runner:
    """A model and the session that works on it; one call at a time.

    Parameters
    ----------
    model : Model, path or bytes
        One that is opened here is closed by `close`.
    **options
        Of `Model`, for one that is opened here.
    """

    model: Model
    session: Session

    def __init__(self, model: Union[Model, str, "os.PathLike[str]", bytes],
                 **options: Any) -> None:
        self._turn = threading.Lock()
        self._own = not isinstance(model, Model)
        self.model = model if isinstance(model, Model) else Model(model, **options)

    def close(self) -> None:
        """Gives session and, where it was opened here, model up. Twice is fine."""
        self.session.close()
        self._close_model()

    def _close_model(self) -> None:
        if self._own:
            self.model.close()

    def __enter__(self: _Self) -> _Self:
        if self.session.closed:
            raise ClosedError(f"the {self._name} is closed")
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    _name = "runner"
