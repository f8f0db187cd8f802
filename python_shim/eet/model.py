"""Models: the weights, on one device."""
from __future__ import annotations

import ctypes
import os
import threading
import weakref
from typing import Any, Dict, Iterator, List, Mapping, Optional, Tuple, Union

from . import _arrays, _device, _fork, _structs
from ._errors import ArgumentError, ClosedError, Error, UnsupportedError, error_of
from ._library import lib

__all__ = ["Head", "Model", "load"]

Fact = Union[int, float, bool, str]

_TAKES = {1: "first", 2: "last", 3: "every", 4: "given", 5: "mean"}
TAKES: Dict[str, int] = {name: number for number, name in _TAKES.items()}


class Head:
    """An output of a model beside its hidden states.

    Attributes
    ----------
    index : int
    name : str
    take : str
        Which positions of a row it reads unless an `Output` says otherwise: ``"first"``,
        ``"last"``, ``"every"``, ``"given"`` or ``"mean"``.
    width : int
        Values of each position.
    labels : tuple of str
        Their names, where the file has them.
    """

    __slots__ = ("index", "name", "take", "width", "labels")

    def __init__(self, index: int, name: str, take: str, width: int,
                 labels: Tuple[str, ...]) -> None:
        self.index = index
        self.name = name
        self.take = take
        self.width = width
        self.labels = labels

    def __repr__(self) -> str:
        return f"<eet.Head {self.index} {self.name}: {self.width} values, {self.take}>"


class _Reference:
    """One reference to an eet_model, given back when nobody holds this object."""

    def __init__(self, handle: int, keep: Any) -> None:
        self.handle = handle
        self.model: Optional[int] = handle  # as the owner of memory that DLPack shows
        self.buffer: Optional[int] = None
        finalizer = weakref.finalize(self, _close, handle, keep)
        finalizer.atexit = False  # somebody may still look at the weights


def _close(handle: int, _keep: Any) -> None:
    """Gives a reference back; a model in memory lives until then."""
    lib.eet_model_close(handle)


def device_of(device: str) -> Tuple[int, int]:
    """eet_memory_kind and index of "cpu", "cuda" or "cuda:1"."""
    name, _, index = str(device).partition(":")
    if name == "cpu" and not index:
        return 0, 0
    if name == "cuda" and (not index or index.isdigit()):
        return 1, int(index or 0)
    raise ArgumentError(f'there is no device {device!r}; there are "auto", "cpu" and "cuda:N"')


def _options(device: Tuple[int, int], dtype: Any, verify: str, mmap: bool) -> Any:
    levels = {"quick": 0, "full": 1}
    if verify not in levels:
        raise ArgumentError(f'verify is {verify!r}; there are "quick" and "full"')
    code = 0
    if dtype is not None and dtype != "auto":
        code = _arrays.dtype_of(dtype).code
    return _structs.ModelOptions(ctypes.sizeof(_structs.ModelOptions), device[0], device[1], code,
                                 levels[verify], 0 if mmap else 1)


class Model:
    """An open model. Immutable: any number of threads and sessions may share one.

    Open it with `eet.load`. It is a context manager; `close` gives up this object's hold on the
    weights, sessions and tensors made of it keep theirs.

    Attributes
    ----------
    path : str
        The file, or ``"<memory>"``.
    device : str
        Where it computes: ``"cpu"`` or ``"cuda:0"``.
    """

    def __init__(self, path: Union[str, "os.PathLike[str]", bytes, bytearray, memoryview], *,
                 device: str = "auto", dtype: Any = "auto", threads: int = 0, mmap: bool = True,
                 verify: str = "quick") -> None:
        self._lock = threading.Lock()
        self._reference: Optional[_Reference] = None
        self.threads = threads
        self._opened = {"device": device, "threads": threads, "mmap": mmap, "verify": verify,
                        "dtype": "auto" if dtype in (None, "auto") else _arrays.dtype_of(dtype).name}
        self._keep: Any = None
        if isinstance(path, (bytes, bytearray, memoryview)):
            self.path = "<memory>"
            self._keep = _aligned(path)
        else:
            self.path = os.fspath(path)
        self.device, handle = self._open(device, dtype, verify, mmap)
        self._reference = _Reference(handle, self._keep)
        self._tensors: Optional[Tensors] = None
        self._weights: Dict[str, Any] = {}  # on the device
        self._config: Optional[Config] = None
        self._heads: Optional[Tuple[Head, ...]] = None
        info = _structs.ModelInfo(ctypes.sizeof(_structs.ModelInfo))
        self._call(lib.eet_model_describe, ctypes.byref(info))
        self._info = info
        _fork.register(self)

    def _open(self, device: str, dtype: Any, verify: str, mmap: bool) -> Tuple[str, int]:
        if device == "auto":
            try:
                return self._open_on("cuda:0", dtype, verify, mmap)
            except Error as error:
                if error.code != "EET_E_DEVICE":
                    raise
            return self._open_on("cpu", dtype, verify, mmap)
        return self._open_on(device, dtype, verify, mmap)

    def _open_on(self, device: str, dtype: Any, verify: str, mmap: bool) -> Tuple[str, int]:
        where = device_of(device)
        options = _options(where, dtype, verify, mmap)
        out = ctypes.c_void_p()
        error = _structs.Error()
        if self._keep is not None:
            pointer, count, _ = self._keep
            status = lib.eet_model_open_memory(pointer, count, ctypes.byref(options),
                                               ctypes.byref(out), error)
        else:
            status = lib.eet_model_open(os.fsencode(self.path), ctypes.byref(options),
                                        ctypes.byref(out), error)
        if status != 0:
            raise error_of(status, error, self.path)
        return ("cpu" if where[0] == 0 else f"cuda:{where[1]}"), int(out.value or 0)

    def _after_fork(self) -> None:
        self._lock = threading.Lock()

    def _held(self) -> _Reference:
        reference = self._reference
        if reference is None:
            raise ClosedError("the model is closed", path=self.path)
        return reference

    def _call(self, function: Any, *arguments: Any) -> None:
        reference = self._held()  # which this frame holds while the library looks at the model
        error = _structs.Error()
        status = function(reference.handle, *arguments, error)
        if status != 0:
            raise error_of(status, error, self.path)

    # ---- what it is ---------------------------------------------------------

    @property
    def family(self) -> str:
        """For people: ``"gpt2"``."""
        return self._described().family.decode("utf-8", "replace")  # type: ignore[no-any-return]

    def _described(self) -> Any:
        self._held()
        return self._info

    @property
    def has_encoder(self) -> bool:
        """Is there an encoder?"""
        return bool(self._described().has_encoder)

    @property
    def has_decoder(self) -> bool:
        """Is there a decoder, so that it can step and generate?"""
        return bool(self._described().has_decoder)

    @property
    def has_cross(self) -> bool:
        """Does the decoder look at an encoder's states?"""
        return bool(self._described().has_cross)

    @property
    def hidden(self) -> int:
        """Width of the hidden states."""
        return int(self._described().hidden)

    @property
    def vocab_size(self) -> int:
        """Ids are 0 to vocab_size - 1."""
        return int(self._described().vocab_size)

    @property
    def max_positions(self) -> int:
        """The longest sequence, or 0: no bound."""
        return int(self._described().max_positions)

    @property
    def parameters(self) -> int:
        """Numbers in the weights, without aliases and tables that a formula gives."""
        return int(self._described().parameters)

    @property
    def weight_bytes(self) -> int:
        """Bytes of the weights, aliases counted once."""
        return int(self._described().weight_bytes)

    @property
    def digest(self) -> str:
        """``"sha256:..."`` of the content, as the file claims it: facts, weights, vocabulary."""
        return "sha256:" + bytes(self._described().content_sha256).hex()

    @property
    def weights_digest(self) -> str:
        """``"sha256:..."`` of the weights alone."""
        return "sha256:" + bytes(self._described().weights_sha256).hex()

    @property
    def heads(self) -> Tuple[Head, ...]:
        """The outputs beside the hidden states."""
        if self._heads is None:
            self._heads = tuple(self._head(i) for i in range(self._described().heads))
        self._held()
        return self._heads

    def _head(self, index: int) -> Head:
        info = _structs.HeadInfo(ctypes.sizeof(_structs.HeadInfo))
        self._call(lib.eet_model_head, index, ctypes.byref(info))
        labels = tuple(info.label[i].decode("utf-8", "replace") for i in range(info.labels))
        return Head(index, info.name.decode(), _TAKES[info.take], info.width, labels)

    def head(self, which: Union[int, str]) -> Head:
        """A head by its number or its name.

        Raises
        ------
        ArgumentError
            There is none; the message names those there are.
        """
        return head_among(self.heads, which)

    def fact(self, key: str, default: Any = ...) -> Any:
        """A fact by its key in docs/format.md, for example ``"dec.layers"``.

        Parameters
        ----------
        key : str
        default : optional
            What to give where the file does not have the key; without it that is an ArgumentError.
        """
        fact = _structs.Fact(ctypes.sizeof(_structs.Fact))
        if not isinstance(key, str):
            raise TypeError(f"a fact's key is text, not {type(key).__name__}")
        try:
            self._call(lib.eet_model_fact, key.encode(), ctypes.byref(fact))
        except ArgumentError:
            if default is ...:
                raise
            return default
        if fact.kind == 1:
            return int(fact.integer)
        if fact.kind == 2:
            return float(fact.real)
        return bool(fact.integer) if fact.kind == 3 else fact.text.decode("utf-8", "replace")

    @property
    def config(self) -> "Config":
        """The facts, as a read-only mapping: ``model.config["dec.layers"]``."""
        if self._config is None:
            self._config = Config(self)
        self._held()
        return self._config

    @property
    def tensors(self) -> "Tensors":
        """The weights by name, as a read-only mapping to `eet.Tensor`."""
        if self._tensors is None:
            self._tensors = Tensors(self)
        self._held()
        return self._tensors

    def _tensor(self, index: int) -> Tuple[str, _arrays.Tensor]:
        reference = self._held()
        info = _structs.TensorInfo(ctypes.sizeof(_structs.TensorInfo))
        self._call(lib.eet_model_tensor, index, ctypes.byref(info))
        found = info.array
        dtype = _arrays.BY_CODE.get(found.dtype)
        if dtype is None:
            raise UnsupportedError(f"a tensor of data type {found.dtype}, unknown to this package")
        shape = tuple(found.shape[: found.rank])
        return info.name.decode(), _arrays.Tensor(_arrays.View(
            found.data or 0, shape, None, dtype, "cpu", True, reference))

    def _there(self, name: str) -> Any:
        """A weight where the model computes: an `eet.Tensor` of the memory that it has there, or,
        of a vector, a copy of torch's."""
        if name not in self._weights:
            index = self.tensors._index[name]
            found = _structs.Array(ctypes.sizeof(_structs.Array))
            try:
                self._call(lib.eet_model_weight, index, ctypes.byref(found))
            except UnsupportedError:
                self._weights[name] = _device.copied(self.tensors[name], self.device)
                return self._weights[name]
            self._weights[name] = _arrays.Tensor(_arrays.View(
                found.data or 0, tuple(found.shape[:2]), tuple(found.stride[:2]),
                _arrays.BY_CODE[found.dtype], self.device, True, self._held(), 0))
        return self._weights[name]

    # ---- life ---------------------------------------------------------------

    @property
    def closed(self) -> bool:
        """Was it closed?"""
        return self._reference is None

    def session(self, **options: Any) -> Any:
        """A `Session` of this model; the arguments are Session's."""
        from .session import Session

        return Session(self, **options)

    def close(self) -> None:
        """Gives the weights up. Twice is fine; sessions and tensors go on."""
        self._reference = None
        self._weights = {}

    def __enter__(self) -> "Model":
        self._held()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        if self.closed:
            return f"<eet.Model {self.path} (closed)>"
        return f"<eet.Model {self.path}: {self.family}, {self.parameters} parameters, {self.device}>"

    def __reduce__(self) -> Tuple[Any, ...]:
        if self._keep is not None:
            raise TypeError("a model in memory cannot be pickled; one in a file can")
        return _reopen, (os.path.abspath(self.path), self.digest, self._opened)


def head_among(heads: Tuple[Head, ...], which: Union[int, str]) -> Head:
    """The head with this number or name."""
    for head in heads:
        if which in (head.name, head.index) and not isinstance(which, bool):
            return head
    names = ", ".join(head.name for head in heads) or "none"
    raise ArgumentError(f"the model has no head {which!r}; its heads: {names}")


def _reopen(path: str, digest: str, options: Dict[str, Any]) -> Model:
    model = Model(path, **options)
    if model.digest != digest:
        found = model.digest
        model.close()
        raise ArgumentError(f"{path} has the digest {found}; the model that was pickled had "
                            f"{digest}", path=path)
    return model


def _aligned(data: Union[bytes, bytearray, memoryview]) -> Tuple[int, int, Any]:
    """A copy of a model in memory at a multiple of 64 bytes."""
    raw = bytes(data)
    owner = _arrays.Buffer(len(raw))
    ctypes.memmove(owner.pointer, raw, len(raw))
    return owner.pointer, len(raw), owner


class Tensors(Mapping[str, _arrays.Tensor]):
    """The weights of a model by name."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._index: Dict[str, int] = {}
        for i in range(model._described().tensors):
            self._index[model._tensor(i)[0]] = i

    def __getitem__(self, name: str) -> _arrays.Tensor:
        return self._model._tensor(self._index[name])[1]

    def __iter__(self) -> Iterator[str]:
        return iter(self._index)

    def __len__(self) -> int:
        return len(self._index)


class Config(Mapping[str, Fact]):
    """The facts of a model by key."""

    def __init__(self, model: Model) -> None:
        self._model = model

    def __getitem__(self, key: str) -> Fact:
        found = self._model.fact(key, None)
        if found is None:
            raise KeyError(key)
        return found  # type: ignore[no-any-return]

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys())

    def __len__(self) -> int:
        return len(self._keys())

    def _keys(self) -> List[str]:
        from . import _facts

        return [key for key in _facts.keys(len(self._model.heads))
                if self._model.fact(key, None) is not None]


def load(path: Union[str, "os.PathLike[str]", bytes, bytearray, memoryview], *,
         device: str = "auto", dtype: Any = "auto", threads: int = 0, mmap: bool = True,
         verify: str = "quick") -> Model:
    """Opens a model.

    Parameters
    ----------
    path : str, path or bytes
        A ``.eet`` file, or the bytes of one.
    device : str
        ``"cpu"``, ``"cuda"``, ``"cuda:1"``; ``"auto"``: CUDA where there is one, else the CPU.
    dtype : str or dtype
        What to compute in: ``"f32"``, ``"f16"``, ``"bf16"``; ``"auto"``: as the file has it.
    threads : int
        Of sessions that do not say; 0: the CPUs of the affinity mask.
    mmap : bool
        Map the file (nothing is read before it is used), or read it into memory: for files that
        somebody might truncate meanwhile.
    verify : str
        ``"quick"``: structure and metadata; ``"full"``: the checksum of every tensor too.

    Returns
    -------
    Model

    Raises
    ------
    FileError, FormatError, UnsupportedError, LimitError, OutOfMemoryError, DeviceError
    """
    return Model(path, device=device, dtype=dtype, threads=threads, mmap=mmap, verify=verify)
