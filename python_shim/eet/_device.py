"""Arrays on a device: where they are, and the way to the host."""
from __future__ import annotations

import ctypes
import sys
from typing import TYPE_CHECKING, Any, Optional, Tuple

from . import _arrays
from ._errors import ArgumentError
from ._library import lib
from ._streams import current_stream

if TYPE_CHECKING:
    from ._arrays import View


def place_of(data: Any) -> Tuple[str, Optional[int]]:
    """Where an array lies, and the stream that its framework works on now; None: it tells none."""
    kind = _arrays.kind_of(data)
    if kind == "numpy" or not _arrays.is_array(data):
        return "cpu", None
    if kind == "torch":
        device = _arrays.torch_device(data)
    elif kind == "cupy":
        device = f"cuda:{data.device.id}"
    elif isinstance(data, _arrays.Tensor):
        device = data.device
    elif hasattr(data, "__dlpack_device__"):
        code, index = data.__dlpack_device__()
        device = f"cuda:{index}" if int(code) == 2 else "cpu"
    else:
        device = "cuda:0" if hasattr(data, "__cuda_array_interface__") else "cpu"
    return device, None if device == "cpu" else current_stream(kind, device)


def span(seen: "View") -> Tuple[int, int]:
    """The first and the past-the-last element that an array touches, from its pointer."""
    if seen.count == 0:
        return 0, 0
    if seen.strides is None:
        return 0, seen.count
    low = high = 0
    for length, stride in zip(seen.shape, seen.strides):
        reach = (length - 1) * stride
        low, high = low + min(reach, 0), high + max(reach, 0)
    return low, high + 1


def fetch(session: Any, seen: "View", as_ids: bool) -> Any:
    """A copy in the host's memory of what lies on the session's device, and with `as_ids` as the
    library reads ids, where that is quick. The session's lock is held."""
    check(session, seen)
    first, end = span(seen)
    size = seen.dtype.bits // 8
    memory = (ctypes.c_char * ((end - first) * size))()
    where = ctypes.addressof(memory)
    session._wait_for([seen.order])
    session._call(lib.eet_session_fetch, 0, where, seen.pointer + first * size,
                  (end - first) * size)
    if as_ids and seen.strides is None and seen.dtype.name == "i32":
        return _arrays.Ids(where, seen.shape, memory)
    return _arrays.Tensor(_arrays.View(where - first * size, seen.shape, seen.strides, seen.dtype,
                                       "cpu", False, memory))


def check(session: Any, seen: "View") -> None:
    """Is it the session's device? An array interface does not tell its number."""
    device = session.model.device
    if seen.device not in (device, "cuda" if device != "cpu" else device):
        raise ArgumentError(f"the array lies on {seen.device}, the model on {device}")


def copied(tensor: "_arrays.Tensor", device: str) -> Any:
    """A copy of a small tensor as torch's on a device, which any stream may read."""
    import torch  # the caller has tensors of torch's

    made = tensor.torch(copy=True).to(device)
    torch.cuda.current_stream(device).synchronize()
    return made


def zeros(like: Any, shape: Tuple[int, ...]) -> Any:
    """Zeros beside an array of torch's or CuPy's."""
    if _arrays.kind_of(like) == "torch":
        return like.new_zeros(shape)
    with like.device:
        return sys.modules["cupy"].zeros(shape, like.dtype)


def homed(made: Any, kind: str, device: str) -> Any:
    """A result in the host's memory as an array of a framework on its device."""
    if device == "cpu" or kind not in ("torch", "cupy"):
        return made
    if kind == "torch":
        return made.to(device)
    cupy = sys.modules["cupy"]
    with cupy.cuda.Device(int(device.partition(":")[2] or 0)):
        return cupy.asarray(made)
