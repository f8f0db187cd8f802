"""What operators run on: the structs of eet_ops.h, contexts, and which context arrays belong to."""
from __future__ import annotations

import ctypes
import os
import sys
import threading
from ctypes import POINTER, c_double, c_int32, c_uint32, c_uint64, c_void_p
from typing import Any, Dict, List, Optional, Tuple

from . import _arrays, _device, _streams, _structs
from ._arrays import View
from ._errors import ArgumentError, error_of
from ._library import check_layouts, lib, path

# ---- structs of eet_ops.h

_Array = _structs.Array


class Options(ctypes.Structure):
    _fields_ = [("size", c_uint32), ("device", c_int32), ("device_index", c_int32),
                ("threads", c_int32), ("stream", c_void_p)]


class Linear(ctypes.Structure):
    _fields_ = [("weight", _Array), ("bias", _Array)]


class Norm(ctypes.Structure):
    _fields_ = [("weight", _Array), ("bias", _Array), ("eps", c_double)]


class Mask(ctypes.Structure):
    _fields_ = [("causal", c_int32), ("reserved", c_int32), ("allowed", _Array),
                ("added", _Array)]


class Attention(ctypes.Structure):
    _fields_ = [("size", c_uint32), ("rows", c_int32), ("workspace", c_void_p),
                ("workspace_bytes", c_uint64), ("heads", c_int32), ("head_dim", c_int32),
                ("pre_norm", c_int32), ("add_residual", c_int32), ("scale", c_double),
                ("start", c_void_p), ("length", c_void_p), ("slot", c_void_p), ("x", _Array),
                ("y", _Array), ("norm", Norm), ("query", Linear), ("key", Linear),
                ("value", Linear), ("out", Linear), ("mask", Mask), ("keys", _Array),
                ("values", _Array), ("memory", _Array), ("memory_start", c_void_p)]


class Ffn(ctypes.Structure):
    _fields_ = [("size", c_uint32), ("act", c_int32), ("workspace", c_void_p),
                ("workspace_bytes", c_uint64), ("pre_norm", c_int32), ("add_residual", c_int32),
                ("x", _Array), ("y", _Array), ("norm", Norm), ("fc1", Linear), ("fc2", Linear)]


class Embedding(ctypes.Structure):
    _fields_ = [("size", c_uint32), ("rows", c_int32), ("workspace", c_void_p),
                ("workspace_bytes", c_uint64), ("scale", c_double), ("position_offset", c_int32),
                ("skip_pad", c_int32), ("pad", c_int32), ("reserved", c_int32),
                ("start", c_void_p), ("length", c_void_p), ("ids", _Array), ("types", _Array),
                ("positions", _Array), ("token", _Array), ("position", _Array), ("type", _Array),
                ("norm", Norm), ("y", _Array)]


class Layernorm(ctypes.Structure):
    _fields_ = [("size", c_uint32), ("reserved", c_int32), ("workspace", c_void_p),
                ("workspace_bytes", c_uint64), ("x", _Array), ("y", _Array), ("norm", Norm)]


check_layouts(lib, path, {
    "eet_op_options": Options, "eet_op_linear": Linear, "eet_op_norm": Norm,
    "eet_op_mask": Mask, "eet_attention_op": Attention, "eet_ffn_op": Ffn,
    "eet_embedding_op": Embedding, "eet_layernorm_op": Layernorm,
})

_ERROR = POINTER(_structs.Error)
_NAMES = ("eet_op_masked_multi_head_attention", "eet_op_cross_multi_head_attention",
          "eet_op_multi_head_attention", "eet_op_ffn", "eet_op_embedding", "eet_op_layernorm")
MASKED, CROSS, PLAIN, FFN, EMBEDDING, LAYERNORM = range(1, 7)


def _declare() -> List[Any]:
    lib.eet_op_context_create.argtypes = [c_void_p, c_void_p, _ERROR]
    lib.eet_op_context_destroy.argtypes = [c_void_p]
    lib.eet_op_context_destroy.restype = None
    lib.eet_op_workspace.argtypes = [c_void_p, c_int32, c_void_p, c_void_p, _ERROR]
    lib.eet_op_stream.argtypes = [c_void_p]
    lib.eet_op_stream.restype = c_void_p
    lib.eet_op_wait.argtypes = [c_void_p, c_void_p, _ERROR]
    lib.eet_op_finish.argtypes = [c_void_p, _ERROR]
    found = []
    for name in _NAMES:
        function = getattr(lib, name)
        function.argtypes = [c_void_p, c_void_p, _ERROR]
        function.restype = c_int32
        found.append(function)
    return found


_CALLS = _declare()


class Kept(List[Any]):
    """What a call reads and writes, kept until it is over."""

    def __init__(self, context: "Context") -> None:
        super().__init__()
        self.device = context.device
        self.stream = context.stream


class Context:
    """The device that operators run on, with its threads and a workspace that grows as it has to.

    Calls from several threads come one after the other; for more at once, make more contexts.
    Without one, an operator uses its thread's own, one for each device and stream that arrays come
    with.

    Parameters
    ----------
    device : str
        ``"cpu"``, ``"cuda"``, ``"cuda:1"``.
    threads : int or None
        On the CPU; None: as many as CPUs are there.
    stream : stream or int or None
        On a device: whose order calls are in, which return before their work is done. None: one of
        the context's own, whose calls return when it is done.

    Attributes
    ----------
    device : str
    stream : int or None
        The stream's handle, on a device.
    """

    def __init__(self, device: str = "cpu", threads: Optional[int] = None,
                 stream: Any = None) -> None:
        self._context: Optional[int] = None
        self._destroy = lib.eet_op_context_destroy
        self._given = stream  # has to outlive the context
        self._lock = threading.Lock()
        self._workspace: Any = None
        self._room = 0
        self._process = os.getpid()
        name, _, index = device.partition(":")
        if name not in ("cpu", "cuda") or (index and not index.isdigit()):
            raise ArgumentError(f"there is no device {device!r}")
        self.device = device if name == "cpu" else f"cuda:{int(index or 0)}"
        options = Options(ctypes.sizeof(Options), int(name == "cuda"), int(index or 0),
                          int(threads or 0), _streams.handle_of(stream))
        out = c_void_p()
        error = _structs.Error()
        status = lib.eet_op_context_create(ctypes.byref(options), ctypes.byref(out), error)
        if status != 0:
            raise error_of(status, error)
        self._context = out.value
        self.stream: Optional[int] = lib.eet_op_stream(out)

    def close(self) -> None:
        """Gives threads and memory back; twice is fine."""
        with self._lock:
            context, self._context = self._context, None
            if context is not None and self._process == os.getpid():
                self._destroy(context)  # after all work, which the workspace is for
            self._workspace = None
            self._room = 0

    def __enter__(self) -> "Context":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        # When the interpreter ends, the streams of frameworks may be gone already.
        if getattr(self, "_context", None) is not None and not sys.is_finalizing():
            self.close()

    def _reserve(self, need: int, like: Any, error: Any) -> int:
        """Room for a workspace, of the framework's memory where it has any; a status."""
        if need <= self._room:
            return 0
        status = lib.eet_op_finish(self._context, error) if self._workspace is not None else 0
        self._workspace = None  # not both at once
        self._room = 0
        kind = _arrays.kind_of(like)
        if self.device == "cpu" or kind not in ("torch", "cupy"):
            kind = "eet"
        self._workspace = _arrays.empty(kind, (need,), _arrays.DTYPES["u8"], self.device)
        self._room = need
        order = None if self.stream is None else _streams.current_stream(kind, self.device)
        if order is not None and order != self.stream:  # who had this memory may work on it still
            status = status or lib.eet_op_wait(self._context, order, error)
        return int(status)

    def _run(self, op: int, args: Any, keep: Kept, like: Any) -> None:
        error = _structs.Error()
        need = c_uint64()
        with self._lock:
            if self._context is None:
                raise ArgumentError("the context is closed")
            foreign = [] if self.stream is None else _foreign(keep)
            status = lib.eet_op_workspace(self._context, op, ctypes.byref(args),
                                          ctypes.byref(need), error)
            for order in {one.order for one in foreign if one.order}:
                status = status or lib.eet_op_wait(self._context, order, error)
            status = status or self._reserve(need.value, like, error)
            if status == 0:
                args.workspace = None if self._workspace is None else self._workspace[1]
                args.workspace_bytes = self._room
                status = _CALLS[op - 1](self._context, ctypes.byref(args), error)
            if foreign and status == 0:  # theirs until the work is done
                status = lib.eet_op_finish(self._context, error)
        if status != 0:
            raise error_of(status, error)


def _foreign(keep: Kept) -> List[View]:
    """Arrays on a device that are in the order of another stream than the call's, or of none that
    we know. A model's weights (order 0) are in nobody's."""
    return [one for one in keep if isinstance(one, View) and one.device != "cpu"
            and one.order not in (0, keep.stream)]


_own = threading.local()


def context_of(given: Optional[Context], *arrays: Any) -> Context:
    """The context given, or the thread's own for where the first array on a device lies."""
    if given is not None:
        return given
    place: Tuple[str, Optional[int]] = ("cpu", None)
    for data in arrays:
        if data is not None and place[0] == "cpu":
            place = _device.place_of(data)
    mine: Dict[Any, Context] = _own.__dict__
    found = mine.get(str(place))
    if found is None or found._process != os.getpid() or found._context is None:
        found = mine[str(place)] = Context(place[0], stream=place[1])
    return found
