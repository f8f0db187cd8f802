"""EET: run .eet models. Everything is ids and arrays; importing this loads neither numpy nor
torch."""
from __future__ import annotations

from typing import TYPE_CHECKING, Any, List

from . import errors
from ._arrays import Tensor
from ._errors import *  # noqa: F403
from ._errors import __all__ as _error_names
from ._library import library_path, library_version
from .model import Head, Model, load
from .session import Output, Scores, Session

if TYPE_CHECKING:
    from ._convert import convert, inspect
    from .encoder import Encoder
    from .generator import Generation, Generator, Token
    from .info import backends

__version__ = "0.1.0"

__all__ = ["Encoder", "Generation", "Generator", "Head", "Model", "Output", "Scores", "Session",
           "Tensor", "Token", "backends", "convert", "errors", "inspect", "library_path",
           "library_version", "load", *_error_names]

# Looked up when they are first used, so that importing the package stays quick.
_LATER = {"convert": "._convert", "inspect": "._convert", "backends": ".info", "Encoder": ".encoder",
          "Generation": ".generator", "Generator": ".generator", "Token": ".generator"}
_MODULES = ("cache", "encoder", "fairseq", "generation", "generator", "ops", "transformers")
_TABLES = (".transformers", ".fairseq")  # eet.EETGPT2Model, as the original has it


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name in _MODULES:
        return import_module("." + name, __name__)
    places = [_LATER[name]] if name in _LATER else _TABLES if name.startswith("EET") else []
    for place in places:
        module = import_module(place, __name__)
        if name in getattr(module, "__all__", ()):
            found = globals()[name] = getattr(module, name)
            return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> List[str]:
    return sorted({*__all__, *_MODULES, "__version__"})
