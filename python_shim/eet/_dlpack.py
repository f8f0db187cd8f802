"""DLPack, both ways, through ctypes: https://dmlc.github.io/dlpack/latest/."""
from __future__ import annotations

import ctypes
from ctypes import c_char_p, c_int32, c_int64, c_uint8, c_uint16, c_uint32, c_uint64, c_void_p
from typing import Any, Dict, Tuple

from ._errors import ArgumentError, UnsupportedError

_api = ctypes.pythonapi
_api.PyCapsule_IsValid.argtypes = [ctypes.py_object, c_char_p]
_api.PyCapsule_IsValid.restype = ctypes.c_int
_api.PyCapsule_GetPointer.argtypes = [ctypes.py_object, c_char_p]
_api.PyCapsule_GetPointer.restype = c_void_p

CPU, CUDA, CUDA_HOST = 1, 2, 3
READ_ONLY = 1


class _DLTensor(ctypes.Structure):
    _fields_ = [("data", c_void_p), ("device_type", c_int32), ("device_id", c_int32),
                ("ndim", c_int32), ("code", c_uint8), ("bits", c_uint8), ("lanes", c_uint16),
                ("shape", ctypes.POINTER(c_int64)), ("strides", ctypes.POINTER(c_int64)),
                ("byte_offset", c_uint64)]


class _Managed(ctypes.Structure):
    _fields_ = [("tensor", _DLTensor), ("context", c_void_p), ("deleter", c_void_p)]


class _Versioned(ctypes.Structure):
    _fields_ = [("major", c_uint32), ("minor", c_uint32), ("context", c_void_p),
                ("deleter", c_void_p), ("flags", c_uint64), ("tensor", _DLTensor)]


def device_of(name: str) -> Tuple[int, int]:
    """DLPack's pair for "cpu" or "cuda:0"."""
    if name == "cpu":
        return CPU, 0
    return CUDA, int(name.partition(":")[2] or 0)


def _ask(data: Any) -> Any:
    """The producer's capsule: a versioned one where it has them."""
    device = data.__dlpack_device__() if hasattr(data, "__dlpack_device__") else (CPU, 0)
    more: Dict[str, Any] = {}
    if int(device[0]) == CUDA:
        more["stream"] = 1  # whatever the producer has begun comes before the default stream
    try:
        return data.__dlpack__(max_version=(1, 0), **more)
    except TypeError:  # written before there were versions
        return data.__dlpack__(**more)


def view(data: Any, kind: Any, dtypes: Dict[Tuple[int, int], Any]) -> Any:
    """A `View` (`kind`) of an object with ``__dlpack__``. The capsule is never taken over: it is
    held as long as the view is, and frees the array as its producer meant it to."""
    try:
        capsule = _ask(data)
    except (BufferError, RuntimeError) as error:
        raise ArgumentError(f"the array does not let its memory be seen: {error}") from error
    readonly = False
    if _api.PyCapsule_IsValid(capsule, b"dltensor_versioned"):
        pointer = _api.PyCapsule_GetPointer(capsule, b"dltensor_versioned")
        versioned = _Versioned.from_address(pointer)
        if versioned.major != 1:
            raise UnsupportedError(f"a DLPack capsule of version {versioned.major}; 1 is known")
        readonly = bool(versioned.flags & READ_ONLY)
        tensor = versioned.tensor
    elif _api.PyCapsule_IsValid(capsule, b"dltensor"):
        tensor = _Managed.from_address(_api.PyCapsule_GetPointer(capsule, b"dltensor")).tensor
    else:
        raise ArgumentError(f"__dlpack__ of {type(data).__name__} gave no DLPack capsule")
    dtype = dtypes.get((tensor.code, tensor.bits))
    if dtype is None or tensor.lanes != 1:
        raise ArgumentError(f"DLPack's type {tensor.code}, {tensor.bits} bits, {tensor.lanes} "
                            "lanes is not taken")
    if tensor.device_type not in (CPU, CUDA, CUDA_HOST):
        raise UnsupportedError(f"DLPack's device {tensor.device_type} is not known here")
    device = f"cuda:{tensor.device_id}" if tensor.device_type == CUDA else "cpu"
    shape = tuple(tensor.shape[i] for i in range(tensor.ndim))
    strides = tuple(tensor.strides[i] for i in range(tensor.ndim)) if tensor.strides else None
    where = (tensor.data or 0) + tensor.byte_offset
    return kind(where, shape, strides, dtype, device, readonly, (capsule, data))


def capsule(tensor: Any, max_version: Any, dl_device: Any, copy: Any) -> Any:
    """The capsule that `Tensor.__dlpack__` gives."""
    raise BufferError("this build of the library makes no DLPack capsules")
