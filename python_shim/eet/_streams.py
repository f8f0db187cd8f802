"""Streams by their handles: a framework's current one, and what a caller gives."""
from __future__ import annotations

import sys
from typing import Any, Callable, List, Optional

from ._errors import ArgumentError

LEGACY = 1  # cudaStreamLegacy: torch's and CuPy's default stream, as array interfaces name it


def current_stream(kind: str, device: str) -> Optional[int]:
    """The handle of a framework's current stream on a device; None: it has none.

    Parameters
    ----------
    kind : str
        "torch" or "cupy"; others have no current stream.
    device : str
        "cuda:0".
    """
    index = int(device.partition(":")[2] or 0)
    if kind == "torch":
        return torch_stream(index)
    if kind == "cupy":
        cupy = sys.modules["cupy"]
        with cupy.cuda.Device(index):
            return int(cupy.cuda.get_current_stream().ptr) or LEGACY
    return None


_raw_stream: List[Callable[[int], int]] = []  # torch's, once it was needed


def torch_stream(index: int) -> int:
    """The handle of torch's current stream on the device of this number."""
    if not _raw_stream:
        torch = sys.modules["torch"]
        _raw_stream.append(getattr(torch._C, "_cuda_getCurrentRawStream", None) or (
            lambda number: int(torch.cuda.current_stream(number).cuda_stream)))
    return _raw_stream[0](index) or LEGACY


def handle_of(stream: Any) -> Optional[int]:
    """A stream of the caller's as a number: an int, or an object of torch's, CuPy's or CUDA's."""
    if stream is None:
        return None
    for name in ("cuda_stream", "ptr", "handle"):
        stream = getattr(stream, name, stream)
    try:
        return int(stream) or LEGACY
    except (TypeError, ValueError):
        raise ArgumentError(f"{type(stream).__name__} is no stream") from None
