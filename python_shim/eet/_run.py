"""Calls of the engine on packed rows, for the class tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Optional

from ._errors import ArgumentError
from ._padded import Frame, Packed, as_mask
from .session import Output, Session

if TYPE_CHECKING:
    from .model import Model

__all__ = ["Wanted", "fill_sources", "hidden_width", "make_session", "run"]


class Wanted(NamedTuple):
    """An output of a call.

    Attributes
    ----------
    head : int
        Its number; -1 is the hidden states.
    at : array, optional
        Indexes into the packed tokens, where the head reads given ones.
    take : str, optional
        Default: the head's own.
    """

    head: int
    at: Any = None
    take: Optional[str] = None


def make_session(model: "Model", **options: Optional[int]) -> Session:
    """A session with the options that are not None.

    Parameters
    ----------
    model : eet.Model
    **options
        Of `eet.Session`.

    Returns
    -------
    eet.Session
    """
    given = {key: value for key, value in options.items() if value is not None}
    return Session(model, **given)


def hidden_width(model: "Model", kind: str) -> int:
    """How wide the hidden states of a call are.

    Parameters
    ----------
    model : eet.Model
    kind : str
        "step" or "encode".

    Returns
    -------
    int
    """
    if kind == "encode" and model.has_encoder and model.has_decoder:
        return int(model.fact("enc.hidden"))
    return int(model.hidden)


def run(
    session: Session,
    kind: str,
    packed: Packed,
    wanted: Sequence[Wanted],
    frame: Frame,
    sequence: Optional[Sequence[int]] = None,
    source: Optional[Sequence[int]] = None,
) -> list[Any]:
    """Runs a step or an encode.

    Parameters
    ----------
    session : eet.Session
    kind : str
        "step" or "encode".
    packed : Packed
    wanted : sequence of Wanted
    frame : Frame
        Whose arrays to give.
    sequence, source : sequence of int, optional
        The slots of the rows of ``packed.live``.

    Returns
    -------
    list of array
        For each output (tokens, size), or (rows of ``packed.live``, size).
    """
    model = session.model
    outputs, arrays = [], []
    for want in wanted:
        head = None if want.head < 0 else model.heads[want.head]
        take = want.take or ("every" if head is None else head.take)
        if take == "given" and want.at is None:
            raise ArgumentError(f"head {want.head} reads positions that the caller gives")
        lines = len(packed.tokens) if take == "every" else len(packed.live)
        if take == "given":
            lines = len(want.at)
        width = hidden_width(model, kind) if head is None else head.width
        arrays.append(frame.empty((lines, width)))
        outputs.append(
            Output(-1 if head is None else want.head, want.take, want.at if take == "given" else None,
                   frame.dtype, arrays[-1])
        )  # fmt: skip
    if packed.live:
        call = session.step if kind == "step" else session.encode
        call(packed.tokens, start=packed.start, types=packed.types, positions=packed.positions,
             sequence=sequence, source=source, outputs=outputs)  # fmt: skip
    return arrays


def fill_sources(session: Session, hidden: Any, mask: object = None) -> list[int]:
    """Fills a source slot for each row of an encoder's hidden states.

    Parameters
    ----------
    session : eet.Session
    hidden : array
        (batch, tokens, size), on any device.
    mask : array, optional
        (batch, tokens): 1 keeps, 0 leaves out.

    Returns
    -------
    list of int
        The slots, one a row.
    """
    shape = tuple(getattr(hidden, "shape", ()))
    if len(shape) != 3:
        raise ArgumentError(f"hidden states of an encoder: shape {shape}; three axes are wanted")
    if hasattr(hidden, "detach"):
        hidden = hidden.detach()
        hidden = hidden.cpu() if session.model.device == "cpu" else hidden
    keep = None if mask is None else as_mask(mask, shape[0], (shape[1],), "encoder_attention_mask")
    for row in range(shape[0]):
        values = hidden[row]
        if keep is not None and not keep[row].all():
            if not keep[row].any():
                raise ArgumentError(f"encoder_attention_mask leaves nothing of row {row}")
            rows = keep[row].nonzero()[0]
            values = values[Frame(hidden).index(rows)]
        session.source_set(row, values)
    return list(range(shape[0]))
