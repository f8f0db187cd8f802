"""What model calls return: like Transformers' ModelOutput, and a tuple as in the original."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

__all__ = ["ModelOutput"]


class ModelOutput(tuple):  # type: ignore[type-arg]
    """Named values: ``out.logits``, ``out["logits"]``, ``out[0]``, ``first, second = out``.

    Values that are None are no elements of the tuple; as attributes they are None.
    """

    _named: dict[str, Any]

    def __new__(cls, **values: Any) -> "ModelOutput":
        made = super().__new__(cls, (v for v in values.values() if v is not None))
        made._named = values
        return made

    def __getattr__(self, name: str) -> Any:
        named = self.__dict__.get("_named", {})
        if name in named:
            return named[name]
        raise AttributeError(f"no {name!r} in this output; it has: {', '.join(self.keys())}")

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, str):
            value = self._named.get(key)
            if value is None:
                raise KeyError(key)
            return value
        return super().__getitem__(key)

    def keys(self) -> list[str]:
        """The names of the values.

        Returns
        -------
        list of str
        """
        return [key for key, value in self._named.items() if value is not None]

    def values(self) -> list[Any]:
        """The values.

        Returns
        -------
        list
        """
        return list(self)

    def items(self) -> Iterator[tuple[str, Any]]:
        """Names and values.

        Yields
        ------
        tuple
        """
        return zip(self.keys(), self)

    def get(self, key: str, default: Any = None) -> Any:
        """A value by name.

        Parameters
        ----------
        key : str
        default : object

        Returns
        -------
        object
        """
        value = self._named.get(key)
        return default if value is None else value

    def to_tuple(self) -> tuple[Any, ...]:
        """The values alone.

        Returns
        -------
        tuple
        """
        return tuple(self)

    def __contains__(self, key: object) -> bool:
        if isinstance(key, str):
            return key in self.keys()
        return super().__contains__(key)

    def __reduce__(self) -> Any:
        return _again, (self._named,)

    def __repr__(self) -> str:
        shapes = (f"{k}={getattr(v, 'shape', type(v).__name__)}" for k, v in self.items())
        return f"ModelOutput({', '.join(shapes)})"


def _again(named: dict[str, Any]) -> ModelOutput:
    return ModelOutput(**named)
