"""Sessions: one caller's working memory."""
from __future__ import annotations

import ctypes
import threading
import weakref
from typing import TYPE_CHECKING, Any, Dict, Iterable, List, NamedTuple, Optional, Tuple, Union

from . import _arrays, _device, _fork, _prepared, _rows, _structs, _wait
from ._errors import ArgumentError, ClosedError, error_of
from ._library import lib
from ._wanted import Output as Output
from ._wanted import Spec, Wanted, outputs_of
from .model import Model, head_among

if TYPE_CHECKING:
    from .bound import Bound
    from .generation import Running

__all__ = ["Output", "Scores", "Session"]


class Scores(NamedTuple):
    """What `Session.score` tells of each packed token."""

    log_prob: Any
    top_tokens: Any
    top_log_probs: Any


class Session:
    """Working memory for one caller: activations, key/value cache, threads.

    It allocates when it is made and never again. One thread at a time: a second one waits.

    Parameters
    ----------
    model : Model
    threads : int
        On the CPU; 0: as the model says, else the CPUs of the affinity mask.
    max_sequences : int
        Slots of the cache; 0: 1.
    max_tokens : int
        Of a sequence; 0: the model's positions, 2048 without a bound.
    max_batch_tokens : int
        Computed at once, larger calls are split inside; 0: 512.
    cache_tokens : int
        Of all sequences and sources; 0: as many as may be.
    max_sources, source_tokens : int
        Slots for what cross attention looks at, and tokens of each.
    max_outputs : int
        Positions scored at once.
    cache_dtype : str or dtype or None
        ``"f32"`` (default), ``"f16"``, ``"bf16"``.

    Raises
    ------
    OutOfMemoryError, LimitError, ArgumentError, DeviceError
    """

    def __init__(self, model: Model, *, threads: int = 0, max_sequences: int = 0,
                 max_tokens: int = 0, max_batch_tokens: int = 0, cache_tokens: int = 0,
                 max_sources: int = 0, source_tokens: int = 0, max_outputs: int = 0,
                 cache_dtype: Any = None) -> None:
        self._lock = threading.RLock()
        self._life = threading.Lock()
        self._handle: Optional[int] = None
        self.model = model
        self._reference = model._held()
        size = ctypes.sizeof(_structs.SessionOptions)
        code = 0 if cache_dtype is None else _arrays.dtype_of(cache_dtype).code
        room = dict(max_sequences=max_sequences, max_tokens=max_tokens,
                    max_batch_tokens=max_batch_tokens, cache_tokens=cache_tokens,
                    max_sources=max_sources, source_tokens=source_tokens, max_outputs=max_outputs)
        self._options = _structs.SessionOptions(
            size, _arrays.number(threads or model.threads, "threads"), cache_dtype=code,
            **{name: _arrays.number(value, name) for name, value in room.items()})
        self._error = _structs.Error()
        self._running: Any = None  # the generation that the session belongs to
        self._asked: Any = None  # how the latest one was to be, and its options
        self._room: Any = None  # where generations have their events written
        self._stale = False  # a cancellation came too late for its call
        out = ctypes.c_void_p()
        status = lib.eet_session_create(self._reference.handle, ctypes.byref(self._options),
                                        ctypes.byref(out), self._error)
        if status != 0:
            raise error_of(status, self._error, model.path)
        self._handle = int(out.value or 0)
        self._finalizer = weakref.finalize(self, _destroy, int(out.value or 0), self._reference)
        self._finalizer.atexit = False
        self._costs = model.parameters
        self._heads = model.heads
        self._hidden = model.hidden  # what a decoder gives, and the encoder, which may be another
        self._encoded = int(model.fact("enc.hidden")) if model.has_encoder else model.hidden
        self._stream: Optional[int] = lib.eet_session_stream(self._handle)  # of a device
        kind, _, number = model.device.partition(":")
        self._index = -2 if kind == "cpu" else int(number or 0)
        self._prepared: Dict[Any, _prepared.Prepared] = {}
        self._sequences = max(max_sequences, 1) if model.has_decoder else 0
        _fork.register(self)

    def _after_fork(self) -> None:
        self._lock = threading.RLock()
        self._life = threading.Lock()

    def _open(self) -> int:
        if self._handle is None:
            raise ClosedError("the session is closed")
        return self._handle

    def _call(self, function: Any, tokens: int, *arguments: Any) -> None:
        """Calls the library; the lock is held. Long calls of the main thread hear Ctrl-C."""
        status = _wait.call(self, tokens * self._costs, function, self._open(), *arguments,
                            self._error)
        if status == 11 and self._stale:  # that was the one before
            self._stale = False
            status = function(self._open(), *arguments, self._error)
        if status != 0:
            raise error_of(status, self._error, self.model.path)

    def _wait_for(self, orders: Iterable[Optional[int]]) -> None:
        """What the session does from now on comes after these streams; the lock is held."""
        for order in orders:
            if order and order != self._stream:
                status = lib.eet_session_wait(self._open(), order, self._error)
                if status != 0:
                    raise error_of(status, self._error, self.model.path)

    def _settle(self, made: List[Wanted], waited: Optional[int]) -> None:
        """Results on a device: the model's, and free of what others still do with them. What is in
        the stream `waited` has been waited for. The lock is held."""
        for one in made:
            if one.device == "cpu":
                continue
            if one.device != self.model.device and not (one.device == "cuda" and self._stream):
                raise ArgumentError(f"the array lies on {one.device}, the model on "
                                    f"{self.model.device}")
            if one.order != waited:
                self._wait_for((one.order,))

    def _near(self, data: Any, as_ids: bool = True) -> Any:
        """An argument as the host has it, where the model is on a device."""
        if self._stream is None or data is None:
            return data
        if isinstance(data, (list, tuple)):
            if not data or not _arrays.is_array(data[0]):
                return data
            return [self._near(one, False) for one in data]
        kind = _arrays.kind_of(data)
        if kind == "numpy" or (kind == "torch" and not data.is_cuda) or (
                kind == "eet" and not _arrays.is_array(data)):
            return data
        seen = _arrays.view(data, self._stream)
        if seen.device == "cpu":
            return data
        with self._lock:
            return _device.fetch(self, seen, as_ids)

    def _pack(self, tokens: Any, start: Any = None, mask: Any = None, *more: Any) -> _rows.Rows:
        """A batch of what a caller gives; the arguments are those of `_rows.pack`."""
        if self._stream is None or (type(tokens) is list and tokens and type(tokens[0]) is int
                                    and start is mask is None and more.count(None) == len(more)):
            return _rows.pack(tokens, start, mask, *more)
        first = tokens[0] if isinstance(tokens, (list, tuple)) and tokens else tokens
        rows = _rows.pack(self._near(tokens), self._near(start), self._near(mask, False),
                          *(self._near(one) for one in more))
        rows.kind = _arrays.kind_of(first)
        device, order = _device.place_of(first)
        if device != "cpu":
            rows.device, rows.order = self.model.device, order
        return rows

    def _width(self, function: Any, rows: _rows.Rows) -> int:
        """Of the hidden states that a call gives."""
        alone = function is lib.eet_encode and not rows.batch.source
        return self._encoded if alone else self._hidden

    def _prepare(self, function: Any, rows: _rows.Rows, outputs: Spec) -> Tuple[Any, ...]:
        """Structs for the outputs, the outputs, whether they were a list, what to keep."""
        wanted, several = outputs_of(self._heads, outputs)
        keep: List[Any] = [rows]
        structs = (_structs.Output * max(len(wanted), 1))()
        hidden = self._width(function, rows)
        made = [Wanted(self._heads, hidden, one, rows, structs[i], keep, self._stream)
                for i, one in enumerate(wanted)]
        return structs, made, several, keep

    def _run(self, function: Any, rows: _rows.Rows, outputs: Spec) -> Any:
        structs, made, several, keep = self._prepare(function, rows, outputs)
        with self._lock:
            self._settle(made, rows.order)
            self._call(function, rows.total, ctypes.byref(rows.batch), structs, len(made))
        del keep  # until here
        results = [one.finish() for one in made]
        return results if several else results[0]

    def step(self, tokens: Any, *, start: Any = None, attention_mask: Any = None,
             types: Any = None, positions: Any = None, sequence: Any = None, source: Any = None,
             outputs: Spec = None) -> Any:
        """Appends tokens to sequences of the cache.

        Parameters
        ----------
        tokens : list or array of int
            1-D: one row. A 2-D array: rows of one length. A list of lists or arrays: rows of any
            lengths. Integers of any width; int32 in host memory is read where it lies.
        start : list or array of int, optional
            With 1-D tokens: row r owns tokens ``start[r]`` to ``start[r + 1] - 1``.
        attention_mask : list or array (rows, columns), optional
            1 = keep, 0 = not there: such tokens are left out, wherever they stand.
        types, positions : list or array, optional
            Of the form of `tokens`.
        sequence : int, list or array (rows), optional
            The slot of each row; default: its number.
        source : int, list or array (rows), optional
            The source slot that its cross attention looks at.
        outputs : optional
            A head's name or number, ``"hidden"``, a tuple ``(head, take, at, dtype, out)``, an
            `Output`, or a list of these; default: the first head, else ``"hidden"``.

        Returns
        -------
        array, or a list of them where `outputs` is a list
            Of the framework of `tokens` (numpy, torch; else `eet.Tensor`), f32 unless an Output
            says otherwise. ``"first"``, ``"last"``, ``"mean"``: (rows, width). ``"every"``:
            (rows, columns, width) for a 2-D array or a mask, with zeros where the mask is 0;
            (tokens, width) for packed rows and lists. ``"given"``: (len(at), width).

        Raises
        ------
        ArgumentError, LimitError
            The session is as it was before.
        UnsupportedError, CancelledError, DeviceError, StateError, ClosedError
        """
        if start is attention_mask is types is positions is source is None and (
                sequence is None or type(sequence) is int):
            found = _prepared.run(self, lib.eet_step, tokens, sequence, outputs)
            if found is not _prepared.LATER:
                return found
        rows = self._pack(tokens, start, attention_mask, types, positions, sequence, source)
        return self._run(lib.eet_step, rows, outputs)

    def encode(self, tokens: Any, *, start: Any = None, attention_mask: Any = None,
               types: Any = None, positions: Any = None, sequence: Any = None,
               source: Any = None, outputs: Spec = None) -> Any:
        """Runs whole rows and keeps nothing in the cache; any model. Arguments, result and errors
        are those of `step`. With both stacks: the encoder, or with `source` the decoder."""
        if start is attention_mask is types is positions is sequence is source is None:
            found = _prepared.run(self, lib.eet_encode, tokens, None, outputs)
            if found is not _prepared.LATER:
                return found
        rows = self._pack(tokens, start, attention_mask, types, positions, sequence, source)
        return self._run(lib.eet_encode, rows, outputs)

    def bind(self, tokens: Any, *, start: Any = None, types: Any = None, positions: Any = None,
             sequence: Any = None, source: Any = None, outputs: Spec = None) -> "Bound":
        """A step (`step`) whose arrays stay the same: the caller writes new ids into them and
        calls the result, which costs a few microseconds less each time.

        Parameters
        ----------
        tokens, types, positions : int32 arrays in the CPU's memory, row-major
        start, sequence, source, outputs
            As in `step`; without ``out`` an output has memory of its own, the same at each call.

        Returns
        -------
        Bound
        """
        from .bound import Bound

        rows = self._pack(tokens, start, None, types, positions, sequence, source)
        structs, made, several, keep = self._prepare(lib.eet_step, rows, outputs)
        bound = Bound(self, lib.eet_step, [tokens, types, positions], rows, structs, made, several)
        bound._keep += keep
        return bound

    def source(self, tokens: Any, *, start: Any = None, attention_mask: Any = None,
               types: Any = None, positions: Any = None, source: Any = None) -> None:
        """Runs the encoder over rows and keeps what the decoder's cross attention looks at: row r
        fills slot ``source[r]`` (default r). Arguments are those of `step`."""
        rows = self._pack(tokens, start, attention_mask, types, positions, None, source)
        with self._lock:
            self._call(lib.eet_source, rows.total, ctypes.byref(rows.batch))

    def source_set(self, slot: int, hidden: Any) -> None:
        """Fills a source slot with an encoder's hidden states (tokens, width), or empties it.

        Parameters
        ----------
        slot : int
        hidden : array of f32, f16, bf16 or f64, any strides, the host's or on the model's device; or
            None
        """
        slot = _arrays.number(slot, "slot")
        with self._lock:
            if hidden is None:
                self._call(lib.eet_source_set, 0, slot, None)
                return
            found = _arrays.view(hidden, self._stream)
            if found.device != "cpu":
                _device.check(self, found)
                self._wait_for([found.order])
            if len(found.shape) != 2 or found.dtype.code < 0:
                raise ArgumentError(f"hidden is {found.dtype.name} of shape {found.shape}; "
                                    "(tokens, width) of f32, f16, bf16 or f64 is taken")
            described = _structs.Array(ctypes.sizeof(_structs.Array), found.dtype.code,
                                       int(found.device != "cpu"), 2)
            described.shape[0], described.shape[1] = found.shape
            if found.strides is not None:
                described.stride[0], described.stride[1] = found.strides
            described.data = found.pointer
            self._call(lib.eet_source_set, 0, slot, ctypes.byref(described))

    def fork(self, origin: int, target: int) -> None:
        """Makes sequence `target` (int) hold what `origin` (int) holds; nothing is copied.

        Raises
        ------
        ArgumentError : there is no such sequence.
        """
        with self._lock:
            self._call(lib.eet_sequence_fork, 0, _arrays.number(origin, "origin"),
                       _arrays.number(target, "target"))

    def trim(self, sequence: int, length: int = 0) -> None:
        """Keeps the first `length` (int) tokens of `sequence` (int); 0 frees it.

        Raises
        ------
        ArgumentError : there is no such sequence, or it is shorter.
        """
        with self._lock:
            self._call(lib.eet_sequence_trim, 0, _arrays.number(sequence, "sequence"),
                       _arrays.number(length, "length"))

    def _forget(self) -> None:
        """Frees every sequence."""
        with self._lock:
            handle, error = self._open(), self._error
            for sequence in range(self._sequences):
                status = lib.eet_sequence_trim(handle, sequence, 0, error)
                if status != 0:
                    raise error_of(status, error, self.model.path)

    def length(self, sequence: int = 0) -> int:
        """Tokens that a sequence holds.

        Raises
        ------
        ArgumentError
            There is no such sequence.
        """
        with self._lock:
            length = int(lib.eet_sequence_length(self._open(), _arrays.number(sequence, "sequence")))
        if length < 0:
            raise ArgumentError(f"there is no sequence {sequence}")
        return length

    def export(self, sequence: int = 0, layer: int = 0) -> Tuple[Any, Any]:
        """The keys and values that a layer of the decoder has of a sequence's tokens.

        Parameters
        ----------
        sequence, layer : int

        Returns
        -------
        keys, values : array (heads, tokens, head_dim) of f32
            numpy's where there is numpy.

        Raises
        ------
        ArgumentError
            There is no such sequence or layer.
        """
        shape = (int(self.model.fact("dec.heads", 0)), self.length(sequence),
                 int(self.model.fact("dec.head_dim", 0)))
        made, described = [], []
        for _ in range(2):
            array, pointer = _arrays.empty("numpy", shape, _arrays.DTYPES["f32"])
            made.append(array)
            described.append(_structs.Array(ctypes.sizeof(_structs.Array),
                                            _arrays.DTYPES["f32"].code, 0, 3,
                                            data=pointer))
            described[-1].shape[:3] = shape
        with self._lock:
            self._call(lib.eet_sequence_export, 0, sequence, _arrays.number(layer, "layer"),
                       *(ctypes.byref(one) for one in described))
        return made[0], made[1]

    def score(self, tokens: Any, targets: Any = None, *, start: Any = None,
              attention_mask: Any = None, types: Any = None, positions: Any = None,
              sequence: Any = None, source: Any = None, head: Union[int, str] = 0,
              top: int = 0) -> Scores:
        """Log-probabilities of given ids by the model's own softmax.

        Parameters
        ----------
        tokens, start, attention_mask, types, positions, sequence, source
            As in `step`: with a decoder they are appended to their sequences.
        targets : list or array of int, optional
            Of the form of `tokens`: the id scored after each of them (an encoder: in its place),
            -1 for none. Default: each token's successor in its row.
        head : int or str
        top : int
            So many likeliest ids, too; at most 256.

        Returns
        -------
        Scores
            `log_prob` (tokens,) of the packed tokens, NaN where there is no target;
            `top_tokens` and `top_log_probs` (tokens, top), or None.
        """
        rows = self._pack(tokens, start, attention_mask, types, positions, sequence, source)
        wanted = _structs.Scores(ctypes.sizeof(_structs.Scores), head_among(self._heads, head).index,
                                 _arrays.number(top, "top"))
        aims = None if targets is None else rows.extra(self._near(targets), "targets")
        f32, i32 = _arrays.DTYPES["f32"], _arrays.DTYPES["i32"]
        log_prob, wanted.log_prob = _arrays.empty(rows.kind, (rows.total,), f32)
        top_token = top_log_prob = None
        if top > 0:
            top_token, wanted.top_token = _arrays.empty(rows.kind, (rows.total, top), i32)
            top_log_prob, wanted.top_log_prob = _arrays.empty(rows.kind, (rows.total, top), f32)
        with self._lock:
            self._call(lib.eet_score, rows.total, ctypes.byref(rows.batch), aims,
                       ctypes.byref(wanted))
        made = (None if one is None else _device.homed(one, rows.kind, rows.device)
                for one in (log_prob, top_token, top_log_prob))
        return Scores(*made)

    def generate(self, tokens: Any, *, start: Any = None, attention_mask: Any = None,
                 sequence: Any = None, source: Any = None, **how: Any) -> "Running":
        """Starts a generation that continues sequences with `tokens`.

        Parameters
        ----------
        tokens, start, attention_mask, sequence, source
            As in `step`.
        **how
            Those of `Generator.generate`: ``max_new_tokens``, ``temperature`` ...

        Returns
        -------
        Running
            An iterator over lists of `Token`, a list for each step. Until it is closed the
            session belongs to it.
        """
        from .generation import start as begin

        rows = self._pack(tokens, start, attention_mask, None, None, sequence, source)
        return begin(self, rows, how)

    def memory(self) -> Dict[str, int]:
        """Who has how many bytes: the session its cache, workspace and host's memory, and on a device
        the weights, recorded steps (graphs), all else that is taken of it (library), and what is
        free."""
        use = _structs.MemoryUse(ctypes.sizeof(_structs.MemoryUse))
        error = _structs.Error()
        with self._lock:
            status = lib.eet_session_memory(self._open(), ctypes.byref(use), error)
        if status != 0:
            raise error_of(status, error, self.model.path)
        return {name[:-len("_bytes")]: int(getattr(use, name)) for name, _ in use._fields_[2:]}

    def cancel(self) -> None:
        """Makes the running call and the next end with CancelledError. Any thread."""
        with self._life:
            if self._handle is not None:
                lib.eet_session_cancel(self._handle)

    @property
    def closed(self) -> bool:
        """Was it closed?"""
        return self._handle is None

    def close(self) -> None:
        """Gives the memory back, after the call that runs. Twice is fine."""
        with self._lock, self._life:
            if self._handle is not None:
                if self._running is not None:
                    self._running.close()
                self._handle = None
                self._finalizer()

    def __enter__(self) -> "Session":
        self._open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> Tuple[Any, ...]:
        raise TypeError("a session cannot be pickled; its model can")


def _destroy(handle: int, _reference: Any) -> None:
    lib.eet_session_destroy(handle)
