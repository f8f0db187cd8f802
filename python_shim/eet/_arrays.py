"""Arrays in and out: lists, numpy, torch, DLPack, array interfaces, buffers; no copies where the
memory allows it. numpy and torch are used where the caller has imported them, never imported."""
from __future__ import annotations

import array
import ctypes
import math
import operator
import sys
from typing import Any, Dict, List, Optional, Sequence, Tuple

from . import _dlpack
from ._buffer import Buffer as Buffer
from ._buffer import fill as fill
from ._dtypes import BY_CODE as BY_CODE
from ._dtypes import BY_DLPACK, TORCH
from ._dtypes import DTYPES as DTYPES
from ._dtypes import DType as DType
from ._dtypes import dtype_of as dtype_of
from ._errors import ArgumentError, UnsupportedError
from ._views import Shape
from ._views import View as View
from ._views import kind_of as kind_of
from ._views import torch_device as torch_device
from ._views import buffer_view, interface_view, torch_view

_FEW = 256  # values below which a loop of Python's own is faster than a framework's three calls
_nothing = (ctypes.c_int64 * 1)()
_SOMEWHERE = ctypes.addressof(_nothing)  # of arrays without elements


def is_array(data: Any) -> bool:
    """Is it an array of anybody's, and no list?"""
    return not isinstance(data, (list, tuple, int, str, bytes)) and (
        isinstance(data, Tensor) or kind_of(data) != "eet" or hasattr(data, "__dlpack__")
        or hasattr(data, "__array_interface__") or hasattr(data, "__cuda_array_interface__")
        or isinstance(data, (memoryview, array.array, bytearray, ctypes.Array)))


def view(data: Any, stream: Optional[int] = None) -> View:
    """Looks at an array without copying it.

    Parameters
    ----------
    data : array
    stream : int, optional
        The stream that will use what lies on a device: a producer of DLPack puts it behind its
        work. Without it the view says what to come after (`order`).

    Raises
    ------
    ArgumentError
        `data` is no array, or one of a data type or layout that is not taken.
    """
    if isinstance(data, Tensor):
        return data._view
    kind = kind_of(data)
    if kind == "numpy":
        return interface_view(data, data.__array_interface__, "cpu")
    if kind == "torch":
        return torch_view(data)
    if kind == "cupy":
        return interface_view(data, data.__cuda_array_interface__, f"cuda:{data.device.id}")
    if hasattr(data, "__dlpack__"):
        return _dlpack.view(data, View, BY_DLPACK, stream)  # type: ignore[no-any-return]
    if hasattr(data, "__cuda_array_interface__"):
        return interface_view(data, data.__cuda_array_interface__, "cuda")
    if hasattr(data, "__array_interface__"):
        return interface_view(data, data.__array_interface__, "cpu")
    try:
        return buffer_view(data)
    except TypeError:
        raise ArgumentError(f"{type(data).__name__} is no array: lists, numpy, torch, DLPack, "
                            "array interfaces and buffers are taken") from None


class Ids:
    """int32 values in host memory, as the library wants them; `ids` gives them back as they are."""

    __slots__ = ("pointer", "shape", "keep")

    def __init__(self, pointer: int, shape: Shape, keep: Any) -> None:
        self.pointer = pointer
        self.shape = shape
        self.keep = keep

    @property
    def count(self) -> int:
        """How many."""
        return self.shape[0] if len(self.shape) == 1 else math.prod(self.shape)

    def tolist(self) -> List[int]:
        """The values, flat."""
        return list((ctypes.c_int32 * self.count).from_address(self.pointer)) if self.count else []


def of_list(values: Sequence[Any], shape: Shape, what: str) -> Ids:
    """Numbers as ids, which have a shape; `what` as for `ids`."""
    try:
        packed = array.array("i", values)
    except OverflowError:
        raise ArgumentError(f"a value among {what} does not fit 32 bits") from None
    except TypeError:
        raise ArgumentError(f"{what} are whole numbers") from None
    return Ids(packed.buffer_info()[0], shape, packed)


def ids(data: Any, what: str) -> Ids:
    """`data` as int32 in host memory: as it lies where it is that already, else a copy.

    Parameters
    ----------
    data : list of int, or an array of any integer type
    what : str
        What they are, for the sentence of an error.
    """
    if isinstance(data, Ids):
        return data
    if isinstance(data, (list, tuple, range)):
        return of_list(data, (len(data),), what)
    if kind_of(data) == "torch" and data.device.type not in ("cpu", "meta"):
        data = data.cpu()  # which waits for torch's stream
    found = view(data)
    if found.device != "cpu":
        raise UnsupportedError(f"{what} lie on {found.device}; the library reads them from the "
                               "CPU's memory: copy them there first")
    if found.dtype.name == "i32" and found.contiguous:
        return Ids(found.pointer, found.shape, found.keep)
    if found.dtype.name[0] not in "iub":
        raise ArgumentError(f"{what} are whole numbers, not {found.dtype.name}")
    if found.dtype.name == "i64" and found.count <= _FEW and found.contiguous:
        few: Any = (ctypes.c_int64 * found.count).from_address(found.pointer or _SOMEWHERE)
        return of_list(few, found.shape, what)
    kind = kind_of(data)
    numpy: Any = sys.modules.get("numpy")
    if isinstance(data, Tensor) and numpy is not None and found.dtype.interface:
        kind, data = "numpy", numpy.asarray(data)
    if kind == "numpy" and found.dtype.name != "bool":
        narrow = data.astype(numpy.int32, order="C")
        if found.dtype.bits > 16 and not (narrow == data).all():
            raise ArgumentError(f"a value among {what} does not fit 32 bits")
        return Ids(narrow.__array_interface__["data"][0], found.shape, narrow)
    if kind == "torch":
        narrow = data.detach().to(sys.modules["torch"].int32).contiguous()
        if found.dtype.bits > 16 and not bool((narrow == data).all()):
            raise ArgumentError(f"a value among {what} does not fit 32 bits")
        return Ids(narrow.data_ptr(), found.shape, narrow)
    return of_list([int(value) for value in found.flat()], found.shape, what)


def number(value: Any, what: str) -> int:
    """A whole number of 32 bits; larger ones would be others in C.

    Raises
    ------
    TypeError
        `value` is no whole number.
    ArgumentError
        It has more bits.
    """
    whole = operator.index(value)
    if not -2**31 <= whole < 2**31:
        raise ArgumentError(f"{what} is {whole}; it has 32 bits")
    return whole


def empty(kind: str, shape: Shape, dtype: DType, device: str = "cpu") -> Tuple[Any, int]:
    """A new array of a framework ("numpy", "torch", "cupy", "eet") and where its elements lie. A
    data type that the framework lacks gives an `eet.Tensor`."""
    if kind == "cupy" and device != "cpu" and dtype.interface:
        cupy: Any = sys.modules.get("cupy")
        with cupy.cuda.Device(int(device.partition(":")[2] or 0)):
            made = cupy.empty(shape, dtype.interface)
        return made, int(made.data.ptr)
    numpy: Any = sys.modules.get("numpy")
    if kind in ("numpy", "cupy") and device == "cpu" and dtype.interface and numpy is not None:
        made = numpy.empty(shape, dtype.interface)
        return made, int(made.__array_interface__["data"][0])
    if kind == "torch":
        torch: Any = sys.modules.get("torch")
        made = torch.empty(shape, dtype=getattr(torch, TORCH[dtype.name]), device=device)
        return made, int(made.data_ptr())
    owner = Buffer((math.prod(shape) * dtype.bits + 7) // 8, device)
    return Tensor(View(owner.pointer, shape, None, dtype, device, False, owner)), owner.pointer


class Tensor:
    """An array of the library's: a weight, or a result where the caller gave lists.

    numpy and torch look at its memory without a copy (``numpy.asarray(t)``,
    ``torch.from_dlpack(t)``). Weights are mapped from the file and read-only. It keeps what
    it shows alive.
    """

    __slots__ = ("_view", "__weakref__")

    def __init__(self, what: View) -> None:
        self._view = what

    @property
    def shape(self) -> Shape:
        """Lengths of the axes."""
        return self._view.shape

    @property
    def dtype(self) -> str:
        """The data type's name, for example ``"f32"``."""
        return self._view.dtype.name

    @property
    def device(self) -> str:
        """``"cpu"`` or ``"cuda:0"``."""
        return self._view.device

    @property
    def strides(self) -> Shape:
        """Bytes from one element to the next, for each axis."""
        size = self._view.dtype.bits // 8
        if self._view.strides is not None:
            return tuple(stride * size for stride in self._view.strides)
        result, step = [], size
        for length in reversed(self.shape):
            result.append(step)
            step *= length
        return tuple(reversed(result))

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return (self._view.count * self._view.dtype.bits + 7) // 8

    @property
    def readonly(self) -> bool:
        """True for weights: they lie in the file."""
        return self._view.readonly

    @property
    def pointer(self) -> int:
        """The address of the first element."""
        return self._view.pointer

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of a tensor without axes")
        return self.shape[0]

    def __repr__(self) -> str:
        flag = ", readonly" if self.readonly else ""
        return f"eet.Tensor(shape={self.shape}, dtype={self.dtype}, device={self.device}{flag})"

    def view(self, dtype: Any) -> "Tensor":
        """The same memory as elements of another type of the same width.

        Parameters
        ----------
        dtype : str or dtype
            For example ``"u16"`` for the bits of bf16, which numpy does not know; ``"u8"``
            takes any type and gives the bytes, flat.
        """
        wanted = dtype_of(dtype)
        now = self._view
        shape, strides = now.shape, now.strides
        if wanted.bits != now.dtype.bits:
            if wanted.name != "u8" or not now.contiguous:
                raise ArgumentError(f"elements of {now.dtype.name} cannot be seen as {wanted.name}")
            shape, strides = (self.nbytes,), None
        return Tensor(View(now.pointer, shape, strides, wanted, now.device, now.readonly, now.keep))

    def memoryview(self) -> memoryview:
        """The elements as a memoryview (host memory, data types that Python knows)."""
        now = self._view
        if now.device != "cpu":
            raise UnsupportedError(f"the tensor lies on {now.device}")
        if not now.dtype.format or not now.contiguous:
            raise ArgumentError(f'Python knows no {now.dtype.name}; take view("u8") of it')
        held = (ctypes.c_char * self.nbytes).from_address(now.pointer)
        held.owner = self  # type: ignore[attr-defined]
        flat: Any = memoryview(held).cast("B")
        if now.readonly:
            flat = flat.toreadonly()
        if now.count == 0 or not now.shape:
            return flat.cast(now.dtype.format)  # type: ignore[no-any-return]
        return flat.cast(now.dtype.format, list(now.shape))  # type: ignore[no-any-return]

    def tolist(self) -> Any:
        """The elements as nested lists of numbers."""
        flat = self._view.flat()
        if not self.shape:
            return flat[0]
        for length in reversed(self.shape[1:]):
            if length == 0:
                break
            flat = [flat[i:i + length] for i in range(0, len(flat), length)]
        return flat

    def numpy(self, copy: bool = False) -> Any:
        """A numpy array of the same memory (read-only where the tensor is), or a copy.

        Raises
        ------
        TypeError
            numpy has no such data type; ``view("u16")`` shows the bits.
        """
        import numpy  # the caller asks for it

        made = numpy.asarray(self)
        return made.copy() if copy else made

    def torch(self, copy: bool = False) -> Any:
        """A torch tensor of the same memory, or a copy; torch has no read-only tensors."""
        import torch  # the caller asks for it

        if not copy:
            return torch.from_dlpack(self)
        return torch.from_dlpack(self.copy())

    def copy(self) -> "Tensor":
        """A copy in memory of its own, which may be written to."""
        if not self._view.contiguous or self._view.device != "cpu":
            raise UnsupportedError("a tensor of host memory without gaps can be copied")
        made, pointer = empty("eet", self.shape, self._view.dtype)
        ctypes.memmove(pointer, self._view.pointer, self.nbytes)
        return made  # type: ignore[no-any-return]

    @property
    def __array_interface__(self) -> Dict[str, Any]:
        now = self._view
        if now.device != "cpu":
            raise AttributeError(f"the tensor lies on {now.device}")
        if not now.dtype.interface:
            raise AttributeError(f"numpy has no {now.dtype.name}")
        return {"version": 3, "shape": now.shape, "typestr": now.dtype.interface,
                "data": (now.pointer, now.readonly),
                "strides": None if now.strides is None else self.strides}

    @property
    def __cuda_array_interface__(self) -> Dict[str, Any]:
        now = self._view
        if not now.device.startswith("cuda"):
            raise AttributeError(f"the tensor lies on {now.device}")
        if not now.dtype.interface:
            raise AttributeError(f"the array interface has no {now.dtype.name}")
        return {"version": 3, "shape": now.shape, "typestr": now.dtype.interface,
                "data": (now.pointer, now.readonly), "stream": None,
                "strides": None if now.strides is None else self.strides}

    def __array__(self, dtype: Any = None, copy: Optional[bool] = None) -> Any:
        import numpy  # numpy calls this

        if not self._view.dtype.interface:
            raise TypeError(f'numpy has no {self.dtype}; view("u16") or view("u8") shows the bits')

        class Holder:  # numpy keeps it as the array's base
            __array_interface__ = self.__array_interface__
            owner = self

        made = numpy.asarray(Holder())
        if dtype is not None and numpy.dtype(dtype) != made.dtype:
            if copy is False:
                raise ValueError(f"another data type than {made.dtype} takes a copy")
            return made.astype(dtype)
        return made.copy() if copy else made

    def __dlpack_device__(self) -> Tuple[int, int]:
        return _dlpack.device_of(self._view.device)

    def __dlpack__(self, *, stream: Any = None, max_version: Optional[Tuple[int, int]] = None,
                   dl_device: Optional[Tuple[int, int]] = None,
                   copy: Optional[bool] = None) -> Any:
        """A DLPack capsule. Read-only memory goes to who takes versioned capsules (which carry the
        flag); others get BufferError and may ask for ``copy=True``."""
        return _dlpack.capsule(self, max_version, dl_device, copy)


