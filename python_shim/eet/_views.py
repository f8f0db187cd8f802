"""How somebody's array lies in memory: what numpy, torch, array interfaces and buffers tell of it. numpy
and torch are used where the caller has imported them, never imported."""
from __future__ import annotations

import ctypes
import math
import sys
from typing import Any, Dict, List, Optional, Sequence, Tuple

from . import _streams
from ._buffer import pointer_of
from ._dtypes import BY_INTERFACE, DTYPES, DType, dtype_of, unpack
from ._errors import ArgumentError, UnsupportedError

Shape = Tuple[int, ...]


class View:
    """Somebody's array: where it lies and how. `keep` keeps it there. `order`: the stream that who
    uses an array on a device comes after; None: none."""

    __slots__ = ("pointer", "shape", "strides", "dtype", "device", "readonly", "keep", "order")

    def __init__(self, pointer: int, shape: Shape, strides: Optional[Shape], dtype: DType,
                 device: str, readonly: bool, keep: Any, order: Optional[int] = None) -> None:
        self.pointer = pointer
        self.shape = shape
        self.strides = strides  # in elements; None: row-major and contiguous
        self.dtype = dtype
        self.device = device
        self.readonly = readonly
        self.keep = keep
        self.order = order

    @property
    def count(self) -> int:
        """Elements."""
        return math.prod(self.shape)

    @property
    def contiguous(self) -> bool:
        """Row-major without gaps."""
        if self.strides is None:
            return True
        expected = 1
        for length, stride in zip(reversed(self.shape), reversed(self.strides)):
            if length == 0:
                return True
            if length != 1 and stride != expected:
                return False
            expected *= length
        return True

    def flat(self) -> List[Any]:
        """The elements in row-major order; host memory alone."""
        if self.device != "cpu":
            raise UnsupportedError(f"the array lies on {self.device}; copy it to the CPU first")
        return list(_elements(self))


def _elements(of: View) -> Sequence[Any]:
    size = of.dtype.bits // 8
    if of.count == 0:
        return []
    if of.contiguous:
        return unpack(of.dtype, ctypes.string_at(of.pointer, of.count * size))
    strides = of.strides or ()
    offsets = [0]
    for length, stride in zip(of.shape, strides):
        offsets = [offset + i * stride for offset in offsets for i in range(length)]
    raw = b"".join(ctypes.string_at(of.pointer + offset * size, size) for offset in offsets)
    return unpack(of.dtype, raw)


# Of a framework's types, which stay what they are, and of what never is one's.
_KINDS: Dict[type, str] = {kind: "eet" for kind in (list, tuple, range, int)}


def kind_of(data: Any) -> str:
    """The framework whose arrays `data` is one of: "numpy", "torch", "cupy", or "eet"."""
    known = _KINDS.get(type(data))
    if known is None:
        known = _kind_of(data)
        if known != "eet":
            _KINDS[type(data)] = known
    return known


def _kind_of(data: Any) -> str:
    numpy: Any = sys.modules.get("numpy")
    if numpy is not None and isinstance(data, numpy.ndarray):
        return "numpy"
    torch: Any = sys.modules.get("torch")
    if torch is not None and isinstance(data, torch.Tensor):
        return "torch"
    cupy: Any = sys.modules.get("cupy")
    if cupy is not None and isinstance(data, getattr(cupy, "ndarray", ())):
        return "cupy"
    return "eet"


def torch_device(data: Any) -> str:
    """"cpu", or "cuda:0" of a torch tensor."""
    kind, index = data.device.type, data.device.index
    if kind == "cpu":
        return "cpu"
    if kind != "cuda":
        raise UnsupportedError(f"the tensor lies on {data.device}; the CPU and CUDA are known")
    return f"cuda:{index or 0}"


_TORCH_DTYPES: Dict[Any, DType] = {}


def torch_view(data: Any) -> View:
    """Of a torch tensor."""
    if data.is_sparse or data.layout is not sys.modules["torch"].strided:
        raise ArgumentError(f"a tensor of layout {data.layout}; dense ones are taken")
    device = torch_device(data)
    strides = None if data.is_contiguous() else tuple(data.stride())
    order = None if device == "cpu" else _streams.current_stream("torch", device)
    dtype = _TORCH_DTYPES.get(data.dtype)
    if dtype is None:
        dtype = _TORCH_DTYPES[data.dtype] = dtype_of(str(data.dtype))
    return View(data.data_ptr(), tuple(data.shape), strides, dtype, device, False, data, order)


def interface_view(data: Any, interface: Dict[str, Any], device: str) -> View:
    """Of an array whose interface this is."""
    dtype = BY_INTERFACE.get(interface["typestr"])
    if dtype is None:
        raise ArgumentError(f"arrays of type {interface['typestr']!r} are not taken")
    strides = interface.get("strides")
    if strides is not None:
        size = dtype.bits // 8
        if any(stride % size for stride in strides):
            raise ArgumentError(f"an array with strides {strides} of {size}-byte elements")
        strides = tuple(stride // size for stride in strides)
    where = interface.get("data")
    if where is None:
        raise ArgumentError("an array interface without data")
    return View(int(where[0] or 0), tuple(interface["shape"]), strides, dtype, device,
                bool(where[1]), data, interface.get("stream"))


def buffer_view(data: Any) -> View:
    """Of what has Python's buffers."""
    if isinstance(data, (str, bytes)):
        raise TypeError("text is no array")
    view = memoryview(data)
    code = view.format.lstrip("@=<")
    if code in ("l", "L"):
        code = "q" if code == "l" else "Q"
    kinds = [kind for kind in DTYPES.values()
             if kind.format == code and kind.bits == 8 * view.itemsize]
    dtype = kinds[0] if kinds else None
    if dtype is None or not view.c_contiguous:
        raise ArgumentError(f"a buffer of format {view.format!r} that is not taken")
    if view.nbytes == 0:
        return View(0, tuple(view.shape or ()), None, dtype, "cpu", view.readonly, view)
    pointer = pointer_of(view)
    return View(pointer, tuple(view.shape or ()), None, dtype, "cpu", view.readonly, view)
