"""EET: run .eet models. Everything is ids and arrays; importing this loads neither numpy nor
torch."""
from __future__ import annotations

from . import errors
from ._arrays import Tensor
from ._errors import *  # noqa: F403
from ._errors import __all__ as _error_names
from ._library import library_path, library_version
from .model import Head, Model, load
from .session import Output, Scores, Session

__version__ = "0.1.0"

__all__ = ["Head", "Model", "Output", "Scores", "Session", "Tensor", "errors", "library_path",
           "library_version", "load", *_error_names]
