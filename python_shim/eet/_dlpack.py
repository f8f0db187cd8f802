"""DLPack, both ways, through ctypes: https://dmlc.github.io/dlpack/latest/."""
from __future__ import annotations

import ctypes
import sys
from ctypes import c_char_p, c_int32, c_int64, c_uint8, c_uint16, c_uint32, c_uint64, c_void_p
from typing import Any, Dict, Optional, Tuple

from . import _structs
from ._errors import ArgumentError, UnsupportedError, error_of
from ._library import lib

_api = ctypes.pythonapi
_api.PyCapsule_IsValid.argtypes = [ctypes.py_object, c_char_p]
_api.PyCapsule_IsValid.restype = ctypes.c_int
_api.PyCapsule_GetPointer.argtypes = [ctypes.py_object, c_char_p]
_api.PyCapsule_GetPointer.restype = c_void_p

CPU, CUDA, CUDA_HOST = 1, 2, 3
_LEGACY = 1
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


def _ask(data: Any, stream: Optional[int]) -> Any:
    """The producer's capsule: a versioned one where it has them."""
    device = data.__dlpack_device__() if hasattr(data, "__dlpack_device__") else (CPU, 0)
    more: Dict[str, Any] = {}
    if int(device[0]) == CUDA:
        more["stream"] = _LEGACY if stream is None else stream  # comes after the producer's work
    try:
        return data.__dlpack__(max_version=(1, 0), **more)
    except TypeError:  # written before there were versions
        return data.__dlpack__(**more)


def view(data: Any, kind: Any, dtypes: Dict[Tuple[int, int], Any],
         stream: Optional[int] = None) -> Any:
    """A `View` (`kind`) of an object with ``__dlpack__``, for `stream` where it is on a device. The
    capsule is never taken over: it is held as long as the view is, and frees the array as its
    producer meant it to."""
    try:
        capsule = _ask(data, stream)
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
    order = None if device == "cpu" or stream is not None else _LEGACY
    return kind(where, shape, strides, dtype, device, readonly, (capsule, data), order)


# The capsule's end: where nobody took the tensor over, its deleter is called here.
_DELETER = ctypes.CFUNCTYPE(None, c_void_p)
_DESTRUCTOR = ctypes.CFUNCTYPE(None, c_void_p)
_raw = ctypes.PyDLL(None)
_valid = _raw["PyCapsule_IsValid"]
_valid.argtypes = [c_void_p, c_char_p]
_pointer = _raw["PyCapsule_GetPointer"]
_pointer.argtypes = [c_void_p, c_char_p]
_pointer.restype = c_void_p
_new = _raw["PyCapsule_New"]
_new.argtypes = [c_void_p, c_char_p, _DESTRUCTOR]
_new.restype = ctypes.py_object
_NAMES: Tuple[Tuple[bytes, Any], ...] = ((b"dltensor", _Managed),
                                         (b"dltensor_versioned", _Versioned))


def _unused(capsule_address: int, names: Any = _NAMES, valid: Any = _valid,
            pointer: Any = _pointer, deleter: Any = _DELETER) -> None:
    for name, kind in names:
        if valid(capsule_address, name):
            managed = pointer(capsule_address, name)
            deleter(kind.from_address(managed).deleter)(managed)


_unused_c = _DESTRUCTOR(_unused)


def _asked_by_torch() -> bool:
    """torch takes versioned capsules and forgets the read-only flag; a write would end the
    process. Its from_dlpack is the frame above `Tensor.__dlpack__`."""
    name = str(sys._getframe(3).f_globals.get("__name__", ""))
    return name == "torch" or name.startswith("torch.")


def capsule(tensor: Any, max_version: Optional[Tuple[int, int]],
            dl_device: Optional[Tuple[int, int]], copy: Optional[bool]) -> Any:
    """The capsule that `Tensor.__dlpack__` gives."""
    seen = tensor._view
    if dl_device is not None and tuple(dl_device) != device_of(seen.device):
        raise BufferError(f"the tensor lies on {seen.device}; DLPack's device "
                          f"{tuple(dl_device)} would take a copy")
    versioned = max_version is not None and tuple(max_version) >= (1, 0)
    if copy:
        tensor = tensor.copy()
        seen = tensor._view
    elif seen.readonly and (not versioned or _asked_by_torch()):
        raise BufferError("the tensor is a weight, mapped read-only, and who asks has no "
                          "read-only tensors, or takes no versioned DLPack, which alone can say "
                          "so; copy it: __dlpack__(copy=True), .copy() or .torch(copy=True)")
    owner = seen.keep  # a model, or a buffer
    described = _structs.Array(ctypes.sizeof(_structs.Array), seen.dtype.code,
                               0 if seen.device == "cpu" else 1, len(seen.shape))
    for i, length in enumerate(seen.shape):
        described.shape[i] = length
        if seen.strides is not None:
            described.stride[i] = seen.strides[i]
    described.data = seen.pointer
    flags = (1 if versioned else 0) | (2 if seen.readonly else 0)
    out = c_void_p()
    error = _structs.Error()
    status = lib.eet_dlpack_create(ctypes.byref(described), device_of(seen.device)[1], flags,
                                   owner.model, owner.buffer, ctypes.byref(out), error)
    if status != 0:
        raise BufferError(str(error_of(status, error)))
    name = b"dltensor_versioned" if versioned else b"dltensor"
    return _new(out.value, name, _unused_c)
