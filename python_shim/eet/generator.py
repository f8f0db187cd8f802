"""Text generation by ids: `Generator`."""
from __future__ import annotations

import os
import sys
import threading
from typing import Any, Dict, Iterator, List, Optional, Sequence, Union

from . import _arrays, _rows
from ._errors import ArgumentError, LimitError, StateError
from .generation import CANCELLED, REASONS, Beam, Running, Token, start
from ._runner import Runner
from .model import Model
from .session import Output, Scores, Session

__all__ = ["Generation", "Generator", "Token"]


class Generation:
    """What a prompt was continued with.

    Attributes
    ----------
    row : int
        Of the prompts.
    token_ids : list of int
        The new ids, with the one that ended it.
    finish_reason : str or None
        ``"eos"``, ``"stop"``, ``"length"``, ``"cancelled"``.
    log_probs : list of float
        Of each new id, by the model's own softmax.
    top : list of tuple of (int, float)
        The likeliest ids at each place, where they were asked for.
    score : float or None
        Of a beam.
    """

    __slots__ = ("row", "token_ids", "finish_reason", "log_probs", "top", "score")

    def __init__(self, row: int, token_ids: Optional[List[int]] = None,
                 finish_reason: Optional[str] = None, log_probs: Optional[List[float]] = None,
                 score: Optional[float] = None) -> None:
        self.row = row
        self.token_ids = token_ids if token_ids is not None else []
        self.finish_reason = finish_reason
        self.log_probs = log_probs if log_probs is not None else []
        self.top: List[Any] = []
        self.score = score

    def __repr__(self) -> str:
        return f"Generation(row={self.row}, token_ids={self.token_ids}, {self.finish_reason})"


class Generator(Runner):
    """A model with a decoder, and memory to continue a batch of prompts.

    Parameters
    ----------
    model : Model, path or bytes
        One that is opened here is closed by `close`.
    device, dtype, threads, mmap, verify
        As in `eet.load`; for a model that is opened here.
    max_batch_size : int
        Prompts at once.
    max_seq_len : int
        Tokens of a prompt and its continuation; 0: the model's positions, 2048 without a bound.
    num_beams : int
        The most beams of a search.
    max_batch_tokens, cache_tokens, source_tokens, cache_dtype
        As in `Session`.
    """

    _name = "generator"

    def __init__(self, model: Union[Model, str, "os.PathLike[str]", bytes], *,
                 device: str = "auto", dtype: Any = "auto", threads: int = 0, mmap: bool = True,
                 verify: str = "quick", max_batch_size: int = 1, max_seq_len: int = 0,
                 num_beams: int = 1, max_batch_tokens: int = 0, cache_tokens: int = 0,
                 source_tokens: int = 0, cache_dtype: Any = None) -> None:
        self._stream: Optional[_Stream] = None
        super().__init__(model, device=device, dtype=dtype, threads=threads, mmap=mmap,
                         verify=verify)
        self.max_batch_size = max_batch_size
        try:
            self.session = Session(
                self.model, threads=threads, max_sequences=max_batch_size * max(num_beams, 1),
                max_tokens=max_seq_len, max_batch_tokens=max_batch_tokens,
                cache_tokens=cache_tokens, max_sources=max_batch_size if self.model.has_cross
                else 0, source_tokens=source_tokens, cache_dtype=cache_dtype)
            stack = "dec" if self.model.has_decoder else "enc"
            self._pad = max(self.model.fact(f"{stack}.tok.pad", -1), -1)
            self._eos = self.model.fact(f"{stack}.tok.eos", -1)
            self._begin = self.model.fact("dec.start", -1)
        except BaseException:
            self._close_model()
            raise

    # ---- generation ---------------------------------------------------------

    def generate(self, input_ids: Any = None, *, attention_mask: Any = None,
                 source_ids: Any = None, source_mask: Any = None,
                 num_return_sequences: int = 1, pad_token_id: Optional[int] = None,
                 details: bool = False, **how: Any) -> Any:
        """Continues prompts.

        Parameters
        ----------
        input_ids : list of int, list of lists, or array (rows, columns)
            None: the model's start id, one for each source.
        attention_mask : list or array (rows, columns), optional
            1 = keep; padding may stand anywhere.
        source_ids, source_mask : optional
            Rows for the encoder of a model with both stacks.
        num_return_sequences : int
            Texts for each prompt: the best beams, or draws of their own.
        pad_token_id : int, optional
            What fills an array behind a row that ended; default: the model's pad, else its end id.
        details : bool
            Give Generations for arrays too.
        **how
            ``max_new_tokens`` (default: as many as fit), ``min_new_tokens``, ``temperature`` (0,
            the default: the likeliest token), ``top_k``, ``top_p``, ``repetition_penalty``,
            ``seed``, ``stop_token_ids``, ``ignore_eos``, ``num_beams``, ``length_penalty``,
            ``early_stopping``, ``forced_token_ids`` (beams: what ends ``max_new_tokens``),
            ``logprobs`` (so many likeliest ids at each place), ``head``, ``streams`` (numbers of the
            rows' random streams): docs/sampling.md, docs/beams.md.

        Returns
        -------
        list of Generation, or array (rows, columns + new)
            Lists give Generations, a flat list a list of one. An array gives an array of its
            kind and type: the prompts as they were given, then what continues them.

        Raises
        ------
        ArgumentError, LimitError, UnsupportedError, KeyboardInterrupt
        """
        beams = how.get("num_beams", 1)
        with self._taking_turns():
            running, prompts, copies = self._start(input_ids, attention_mask, source_ids,
                                                   source_mask, num_return_sequences, how)
            with running:
                found = _collect(running, beams, num_return_sequences)
        if beams == 1 and copies > 1:
            for generation in found:
                generation.row //= copies
        if details or prompts is None or not _arrays.is_array(prompts):
            return found
        return self._array(prompts, found, num_return_sequences, pad_token_id)

    def stream(self, input_ids: Any = None, *, attention_mask: Any = None,
               source_ids: Any = None, source_mask: Any = None, **how: Any) -> Iterator[Token]:
        """The tokens of a generation as they come; arguments are those of `generate`.

        Closing the iterator (or leaving a ``with contextlib.closing(...)``) ends the
        generation. Until then the generator can do nothing else.

        Yields
        ------
        Token
        """
        if not self._turn.acquire(blocking=False):
            raise StateError("the generator is busy: a stream that has not ended is closed with "
                             "close()")
        try:
            running, _, _ = self._start(input_ids, attention_mask, source_ids, source_mask, 1, how)
        except BaseException:
            self._turn.release()
            raise
        self._stream = _Stream(running, self._turn)
        return self._stream

    def _taking_turns(self) -> Any:
        if self._stream is not None and not self._stream.closed:
            raise StateError("a stream of this generator has not ended; close() ends it")
        return self._turn

    def _start(self, input_ids: Any, mask: Any, source_ids: Any, source_mask: Any, copies: int,
               how: Dict[str, Any]) -> Any:
        sources = None
        self.session._forget()
        if source_ids is None and copies == 1 and input_ids is not None:
            return start(self.session, self.session._pack(input_ids, None, mask), how), input_ids, 1
        if source_ids is not None:
            packed = self.session._pack(source_ids, None, source_mask)
            sources = packed.count
            self.session.source(source_ids, attention_mask=source_mask)
            if input_ids is None:
                if self._begin < 0:
                    raise ArgumentError("the model has no start id; give input_ids")
                input_ids = [[self._begin]] * sources
        if input_ids is None:
            raise ArgumentError("there are no input_ids")
        if copies < 1 or (how.get("num_beams", 1) > 1 and copies > how["num_beams"]):
            raise ArgumentError(f"num_return_sequences is {copies}")
        rows = self.session._pack(input_ids, None, mask)
        beams = how.get("num_beams", 1) > 1
        repeat = 1 if beams else copies
        if sources is not None and sources != rows.count:
            raise ArgumentError(f"there are {sources} sources and {rows.count} prompts")
        if rows.count * repeat > self.session._sequences:
            raise LimitError(f"{rows.count * repeat} texts at once; the generator has room for "
                             f"{self.session._sequences}: max_batch_size, num_beams")
        if repeat > 1 or sources is not None:
            rows = _repeated(rows, repeat, sources is not None)
        return start(self.session, rows, how), input_ids, repeat

    def _array(self, prompts: Any, found: List[Generation], copies: int,
               pad: Optional[int]) -> Any:
        if pad is None:
            pad = self._pad if self._pad >= 0 else max(self._eos, 0)
        old = _arrays.ids(self.session._near(prompts), "input_ids")
        width = old.shape[-1]
        flat = old.tolist()
        longest = max(len(one.token_ids) for one in found)
        rows = []
        for one in found:
            new = one.token_ids + [pad] * (longest - len(one.token_ids))
            rows.append(flat[one.row * width:(one.row + 1) * width] + new)
        if len(old.shape) == 1 and copies == 1:
            rows = rows[0]  # type: ignore[assignment]
        kind = _arrays.kind_of(prompts)
        if kind == "eet":
            made, pointer = _arrays.empty("eet", (len(found), width + longest),
                                          _arrays.DTYPES["i32"])
            _arrays.fill(pointer, [value for row in rows for value in row])
            return made
        made = sys.modules[kind].asarray(rows, dtype=prompts.dtype)
        return made.to(prompts.device) if kind == "torch" else made

    # ---- without a cache ----------------------------------------------------

    def forward(self, input_ids: Any, *, attention_mask: Any = None, types: Any = None,
                positions: Any = None, head: Union[int, str] = 0, dtype: Any = "f32") -> Any:
        """The scores of every word after every token; nothing is kept.

        Parameters
        ----------
        input_ids, attention_mask, types, positions
            As `tokens`, ... of `Session.step`.
        head : int or str
        dtype : str or dtype
            ``"f32"``, ``"f16"``, ``"bf16"``.

        Returns
        -------
        array
            (rows, columns, width), for lists (tokens, width): as ``"every"`` of `Session.step`.

        Raises
        ------
        ArgumentError, LimitError
        """
        with self._taking_turns():
            run = self.session.step if self.model.has_decoder and not self.model.has_encoder \
                else self.session.encode
            self.session._forget()
            found = run(input_ids, attention_mask=attention_mask, types=types,
                        positions=positions, outputs=Output(head, "every", None, dtype))
            self.session._forget()
            return found

    def score(self, input_ids: Any, targets: Any = None, *, attention_mask: Any = None,
              head: Union[int, str] = 0, top: int = 0) -> Scores:
        """Log-probabilities of given texts by the model's own softmax.

        Parameters
        ----------
        input_ids, targets, attention_mask, head, top
            As `tokens`, ... of `Session.score`.

        Returns
        -------
        Scores
            `log_prob` (tokens,), `top_tokens` and `top_log_probs` (tokens, top) or None.

        Raises
        ------
        ArgumentError, LimitError
        """
        with self._taking_turns():
            self.session._forget()
            return self.session.score(input_ids, targets, attention_mask=attention_mask,
                                      head=head, top=top)

    def cancel(self) -> None:
        """Ends what runs, from any thread: open rows end with ``"cancelled"``; where the prompts
        are not through yet, the call raises CancelledError."""
        self.session.cancel()


class _Stream(Iterator[Token]):
    """The tokens of a generation, one by one. Whoever drops it ends the generation."""

    def __init__(self, running: Running, turn: threading.Lock) -> None:
        self._running = running
        self._turn: Optional[threading.Lock] = turn
        self._waiting: List[Token] = []

    def __iter__(self) -> "_Stream":
        return self

    def __next__(self) -> Token:
        try:
            while not self._waiting:
                self._waiting = next(self._running)[::-1]
        except BaseException:  # the end, an error, Ctrl-C
            self.close()
            raise
        return self._waiting.pop()

    @property
    def closed(self) -> bool:
        """Has it ended?"""
        return self._turn is None

    def close(self) -> None:
        """Ends the generation. Twice is fine."""
        turn, self._turn = self._turn, None
        if turn is not None:
            self._waiting = []
            self._running.ended = True
            self._running.close()
            turn.release()

    def __del__(self) -> None:
        self.close()


def _repeated(rows: _rows.Rows, times: int, sources: bool) -> _rows.Rows:
    """Each row `times` times; row r's copies look at source r."""
    repeated: List[Sequence[int]] = []
    source: List[int] = []
    for row, ids in enumerate(rows.lists()):
        repeated += [ids] * times
        source += [row] * times
    return _rows.pack(repeated, source=source if sources else None)


def _note(one: Generation, token: Optional[int], reason: Optional[str], log_prob: float) -> None:
    if token is not None:
        one.token_ids.append(token)
        one.log_probs.append(log_prob)
    if reason is not None:
        one.finish_reason = reason


def _collect(running: Running, beams: int, wanted: int) -> List[Generation]:
    if running.rows == beams == 1 and not running.tells_top:
        ids, log_probs, reason = running.drain_row()
        return [Generation(0, ids, reason, log_probs)]
    found = [Generation(row) for row in range(running.rows)]
    if running.tells_top:
        for tokens in running:
            for token in tokens:
                if token.top:
                    found[token.row].top.append(token.top)
                _note(found[token.row], token.token, token.finish_reason, token.log_prob)
    else:
        add = [(one.token_ids.append, one.log_probs.append) for one in found]
        for row, token_id, _, finish, log_prob, _ in running.drain():
            if finish == 0:
                add_token, add_log_prob = add[row]
                add_token(token_id)
                add_log_prob(log_prob)
            else:
                _note(found[row], None if finish == CANCELLED else token_id, REASONS[finish],
                      log_prob)
    if beams == 1:
        return found
    several: List[Generation] = []
    for row, best in enumerate(found):
        if best.finish_reason == "cancelled":
            several.append(best)
            continue
        several += [_of_beam(row, beam) for beam in running.beams(row)[:wanted]]
    return several


def _of_beam(row: int, beam: Beam) -> Generation:
    return Generation(row, beam.token_ids, beam.finish_reason, beam.log_probs, beam.score)
