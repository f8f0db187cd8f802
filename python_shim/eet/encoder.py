"""Vectors of texts by ids: `Encoder`."""
from __future__ import annotations

import math
import os
from typing import Any, Optional, Union

from . import _arrays
from ._errors import ArgumentError
from ._runner import Runner
from .model import Model
from .session import Output, Session

__all__ = ["Encoder"]

_POOLINGS = {"mean": "mean", "cls": "first", "first": "first", "last": "last", "none": "every"}


class Encoder(Runner):
    """A model and memory to turn rows of tokens into vectors.

    Parameters
    ----------
    model : Model, path or bytes
        One that is opened here is closed by `close`.
    device, dtype, threads, mmap, verify
        As in `eet.load`; for a model that is opened here.
    max_batch_tokens : int
        Computed at once: larger calls are split inside, between rows; 0: 512, or the model's
        positions (2048 without a bound, 8192 at most).
    """

    _name = "encoder"

    def __init__(self, model: Union[Model, str, "os.PathLike[str]", bytes], *,
                 device: str = "auto", dtype: Any = "auto", threads: int = 0, mmap: bool = True,
                 verify: str = "quick", max_batch_tokens: int = 0) -> None:
        super().__init__(model, device=device, dtype=dtype, threads=threads, mmap=mmap,
                         verify=verify)
        try:
            longest = min(self.model.max_positions or 2048, 8192)  # a row goes through in one
            self.session = Session(self.model, threads=threads,
                                   max_batch_tokens=max_batch_tokens or max(512, longest))
        except BaseException:
            self._close_model()
            raise

    def encode(self, input_ids: Any, *, attention_mask: Any = None, token_type_ids: Any = None,
               position_ids: Any = None, pooling: Optional[str] = None,
               head: Union[None, int, str] = None, normalize: bool = False, dtype: Any = "f32",
               out: Any = None) -> Any:
        """One vector for each row, or one for each token.

        Parameters
        ----------
        input_ids, attention_mask
            As `tokens` and `attention_mask` of `Session.step`.
        token_type_ids, position_ids : optional
            Of the form of `input_ids`.
        pooling : str, optional
            ``"mean"``, ``"cls"`` (first), ``"last"``, or ``"none"``: each token's. Default: as the
            head says, ``"mean"`` of the hidden states.
        head : int or str, optional
            Whose values; default: the head ``"sentence"`` where there is one and no pooling is
            given, else the hidden states (``"hidden"``).
        normalize : bool
            Scale vectors to length 1.
        dtype : str or dtype
            ``"f32"``, ``"f16"``, ``"bf16"``.
        out : array, optional
            Where to write them.

        Returns
        -------
        array
            (rows, width), or for ``"none"`` as ``"every"`` of `Session.step`.
        """
        if pooling is not None and pooling not in _POOLINGS:
            raise ArgumentError(f"pooling is {pooling!r}; there are {', '.join(_POOLINGS)}")
        if head is None:
            names = [one.name for one in self.session._heads]
            head = "sentence" if pooling is None and "sentence" in names else "hidden"
        take = None if pooling is None else _POOLINGS[pooling]
        if take is None and head == "hidden":
            take = "mean"
        with self._turn:
            found = self.session.encode(
                input_ids, attention_mask=attention_mask, types=token_type_ids,
                positions=position_ids, outputs=Output(head, take, None, dtype, out))
        if normalize:
            _normalize(found)
        return found


def _normalize(found: Any) -> None:
    """Scales the last axis to length 1, where it lies; zeros stay."""
    kind = _arrays.kind_of(found)
    seen = _arrays.view(found)
    if kind == "numpy":
        norm = (found.astype("f8") ** 2).sum(-1, keepdims=True) ** 0.5
        norm[norm == 0] = 1
        found /= norm.astype(found.dtype)
    elif kind == "torch":
        norm = found.double().norm(dim=-1, keepdim=True)
        norm[norm == 0] = 1
        found /= norm.to(found.dtype)
    elif kind == "cupy":
        norm = (found.astype("f8") ** 2).sum(-1, keepdims=True) ** 0.5
        norm[norm == 0] = 1
        found /= norm.astype(found.dtype)
    else:
        if seen.dtype.name != "f32" or seen.device != "cpu":
            raise ArgumentError(f"normalize takes f32 on the CPU, or an array of numpy or torch; "
                                f"not {seen.dtype.name} on {seen.device}")
        width = seen.shape[-1]
        values = seen.flat()
        for at in range(0, len(values), width):
            norm = math.sqrt(sum(value * value for value in values[at:at + width])) or 1.0
            values[at:at + width] = [value / norm for value in values[at:at + width]]
        _arrays.fill(seen.pointer, values, "f")
