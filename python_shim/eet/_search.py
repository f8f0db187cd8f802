"""Runs a generation to its end and collects what every row gave."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Optional

from . import _rows, generation
from ._errors import CancelledError

if TYPE_CHECKING:
    from .session import Session

__all__ = ["Found", "search"]


class Found(NamedTuple):
    """One text.

    Attributes
    ----------
    tokens : list of int
        Without the prompt, with the id that ended it.
    score : float
        Of a beam; 0 without beams.
    """

    tokens: list[int]
    score: float


def search(
    session: "Session",
    tokens: Sequence[int],
    start: Sequence[int],
    source: Optional[Sequence[int]],
    **how: Any,
) -> list[list[Found]]:
    """Generates until every row has ended.

    Parameters
    ----------
    session : eet.Session
        Whose sequences are free.
    tokens, start : sequence of int
        The prompts, packed: row r owns tokens[start[r]:start[r + 1]].
    source : sequence of int, optional
        The source slot of each row.
    **how
        As of `generation.options_of`.

    Returns
    -------
    list of list of Found
        For each row its beams, the best first; without beams its one text.
    """
    rows = _rows.pack(tokens, start, source=source)
    with generation.start(session, rows, how) as running:
        found: list[list[int]] = [[] for _ in range(rows.count)]
        for row, token, _, finish, _, _ in running.drain():
            if finish == generation.CANCELLED:
                raise CancelledError("the generation was cancelled")
            found[row].append(token)
        if how.get("num_beams", 1) == 1:
            return [[Found(one, 0.0)] for one in found]
        return [[Found(beam.token_ids, beam.score) for beam in running.beams(row)]
                for row in range(rows.count)]  # fmt: skip
