"""Where a model comes from: a .eet file, a checkpoint, a name in the hub's local cache, or a
module in memory. Nothing here asks the network."""

from __future__ import annotations

import contextlib
import json
import os
import re
import struct
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Optional, Union

from . import cache
from ._errors import ArgumentError, FileError, UnsupportedError

if TYPE_CHECKING:
    from .model import Model

__all__ = ["dtype_name", "hub_folder", "open_pretrained", "open_state", "read_config"]

_DTYPES = {
    "float32": "f32", "float": "f32", "f32": "f32", "fp32": "f32",
    "float16": "f16", "half": "f16", "f16": "f16", "fp16": "f16",
    "bfloat16": "bf16", "bf16": "bf16",
}  # fmt: skip
_NAME = re.compile(r"[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)?\Z")


def dtype_name(data_type: object) -> Optional[str]:
    """Reads a data type of torch, of NumPy, or by its name.

    Parameters
    ----------
    data_type : torch.dtype, numpy dtype or str, optional

    Returns
    -------
    str or None
        "f32", "f16", "bf16"; None for None and "auto": the file's own.

    Raises
    ------
    eet.ArgumentError
        Another type.
    """
    if data_type is None or data_type == "auto":
        return None
    text = str(getattr(data_type, "__name__", data_type)).rpartition(".")[2]
    if text in _DTYPES:
        return _DTYPES[text]
    raise ArgumentError(f"data_type {data_type}: float32, float16 or bfloat16 is wanted")


def _hub_root() -> Path:
    for variable, below in (("HF_HUB_CACHE", ""), ("HUGGINGFACE_HUB_CACHE", ""), ("HF_HOME", "hub")):
        value = os.environ.get(variable)
        if value:
            return Path(value).expanduser() / below
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "huggingface" / "hub"


def hub_folder(name: str, revision: str = "main") -> Optional[Path]:
    """The snapshot of a model in the local cache of the hub.

    Parameters
    ----------
    name : str
        "gpt2" or "owner/model".
    revision : str
        A branch, a tag or a commit.

    Returns
    -------
    pathlib.Path or None
        None where it is not there.
    """
    if not _NAME.match(name) or ".." in name or not re.match(r"[\w.-]+\Z", revision):
        return None
    home = _hub_root() / ("models--" + name.replace("/", "--"))
    commit = revision
    with contextlib.suppress(OSError):
        commit = (home / "refs" / revision).read_text("ascii").strip()
    found = home / "snapshots" / commit
    return found if re.match(r"[\w.-]+\Z", commit) and found.is_dir() else None


def _settle(source: Union[str, "os.PathLike[str]"], revision: Optional[str]) -> Path:
    path = Path(source).expanduser()
    if path.exists():
        return path
    found = hub_folder(os.fspath(source), revision or "main")
    if found is None:
        raise FileError(
            f"{source}: no file or folder, and no model of the hub's cache in {_hub_root()}; "
            "eet downloads nothing",
            path=os.fspath(source),
        )
    return found


def _is_eet(path: Path) -> bool:
    if not path.is_file():
        return False
    with open(path, "rb") as file:
        return file.read(4) == b"\x89EET" or path.suffix == ".eet"


def read_config(path: Path) -> Optional[SimpleNamespace]:
    """The config.json of a checkpoint's folder.

    Parameters
    ----------
    path : pathlib.Path

    Returns
    -------
    types.SimpleNamespace or None
        Its field `generation` is a dict: the generation_config.json.
    """
    found: dict[str, dict[str, Any]] = {}
    for name in ("config", "generation_config"):
        with contextlib.suppress(OSError, ValueError):
            read = json.loads((path / (name + ".json")).read_text("utf-8"))
            if isinstance(read, dict):
                found[name] = read
    if "config" not in found:
        return None
    return SimpleNamespace(**{**found["config"], "generation": found.get("generation_config", {})})


def _missing(model: "Model", wanted: Sequence[Sequence[str]]) -> Optional[str]:
    """The first head that is wanted and not there."""
    have = {head.name for head in model.heads}
    for names in wanted:
        if not have.intersection(names):
            return names[0]
    return None


def _refuse(model: "Model", head: str, source: object) -> UnsupportedError:
    have = ", ".join(h.name for h in model.heads) or "none"
    model.close()
    return UnsupportedError(f"{source}: no head {head!r}; heads of this model: {have}")


def open_pretrained(
    source: Union[str, "os.PathLike[str]"],
    heads: Sequence[Sequence[str]] = (),
    arch: str = "",
    data_type: object = None,
    device: str = "auto",
    revision: Optional[str] = None,
    **convert: Any,
) -> tuple["Model", Optional[SimpleNamespace]]:
    """Opens a .eet file, or converts a checkpoint into the cache and opens that.

    Parameters
    ----------
    source : path or str
        A .eet file, a checkpoint, its folder, or a name in the hub's local cache.
    heads : sequence of sequence of str
        For each head that is wanted: the names that it may have.
    arch : str
        Architecture to read the checkpoint as where a head is missing.
    data_type : dtype, optional
        Of the weights.
    device : str
    revision : str, optional
        Of a name in the hub's cache.
    **convert
        Further options of `eet.convert`.

    Returns
    -------
    model : eet.Model
    config : types.SimpleNamespace or None
        The folder's config.json.

    Raises
    ------
    eet.UnsupportedError
        A head is missing.
    """
    from .model import load

    path = _settle(source, revision)
    dtype = dtype_name(data_type)
    if _is_eet(path):
        model = load(path, device=device, dtype=dtype or "auto")
        missing = _missing(model, heads)
        if missing is not None:
            raise _refuse(model, missing, source)
        return model, None
    options = {**convert, "dtype": dtype or "keep"}
    config = read_config(path)
    attempts: list[dict[str, Any]] = [{}]
    if arch and "arch" not in options:
        attempts.append({"arch": arch})
    for attempt in attempts:
        with cache.opened(path, **options, **attempt) as file:
            model = load(file, device=device)
        missing = _missing(model, heads)
        if missing is None:
            return model, config
    raise _refuse(model, missing or "", source)


# ---- from memory ---------------------------------------------------------------------------------

_SAFE = {
    "float32": "F32", "float16": "F16", "bfloat16": "BF16", "float64": "F64", "int64": "I64",
    "int32": "I32", "int16": "I16", "int8": "I8", "uint8": "U8", "bool": "BOOL",
}  # fmt: skip


def _dtype_of(tensor: Any) -> str:
    name = str(tensor.dtype).rpartition(".")[2]
    if name not in _SAFE:
        raise UnsupportedError(f"a tensor of {tensor.dtype}")
    return name


def _bytes_of(tensor: Any) -> bytes:
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(tensor, torch.Tensor):
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        if flat.dtype == torch.bfloat16:
            flat = flat.view(torch.int16)
        return bytes(flat.numpy().tobytes())
    import numpy

    return bytes(numpy.ascontiguousarray(tensor).tobytes())


def write_safetensors(path: Path, tensors: Mapping[str, Any]) -> None:
    """Writes tensors as a safetensors file.

    Parameters
    ----------
    path : pathlib.Path
    tensors : mapping of str to torch.Tensor or numpy.ndarray
    """
    header, end = {}, 0
    for name, tensor in tensors.items():
        size = int(tensor.nbytes) if hasattr(tensor, "nbytes") else (
            tensor.numel() * tensor.element_size()
        )
        header[name] = {
            "dtype": _SAFE[_dtype_of(tensor)],
            "shape": [int(n) for n in tensor.shape],
            "data_offsets": [end, end + size],
        }
        end += size
    text = json.dumps(header).encode("utf-8")
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)))
        file.write(text)
        for tensor in tensors.values():
            file.write(_bytes_of(tensor))


def _config_dict(module: Any, config: Any) -> dict[str, Any]:
    if config is None:
        config = getattr(module, "config", None)
    if config is None:
        raise ArgumentError("from_torch: a state dict needs its config")
    if isinstance(config, Mapping):
        found = dict(config)
    elif hasattr(config, "to_dict"):
        found = dict(config.to_dict())
    else:
        found = dict(vars(config))
    if hasattr(module, "state_dict"):
        found["architectures"] = [type(module).__name__]
    return found


@contextlib.contextmanager
def _temporary(fill: Any, options: Mapping[str, Any]) -> Iterator[Path]:
    from ._convert import convert

    with tempfile.TemporaryDirectory(prefix="eet-") as folder:  # mode 0700
        source = Path(folder) / "checkpoint"
        source.mkdir()
        fill(source)
        target = Path(folder) / "model.eet"
        convert(source, target, **options)
        yield target


def open_state(
    module: Any,
    config: Any = None,
    heads: Sequence[Sequence[str]] = (),
    data_type: object = None,
    device: str = "auto",
) -> tuple["Model", SimpleNamespace]:
    """Converts a module of Transformers, or its state dict, by way of a temporary file.

    Parameters
    ----------
    module : torch.nn.Module or mapping of str to array
    config : mapping or config object, optional
        Default: the module's own.
    heads : sequence of sequence of str
    data_type : dtype, optional
    device : str

    Returns
    -------
    model : eet.Model
        Its file is gone already; the mapping keeps it.
    config : types.SimpleNamespace
    """
    from .model import load

    known = _config_dict(module, config)
    tensors = module.state_dict() if hasattr(module, "state_dict") else module

    def fill(folder: Path) -> None:
        write_safetensors(folder / "model.safetensors", tensors)
        (folder / "config.json").write_text(json.dumps(known, default=str), "utf-8")

    with _temporary(fill, {"dtype": dtype_name(data_type) or "keep"}) as file:
        model = load(file, device=device)
    missing = _missing(model, heads)
    if missing is not None:
        raise _refuse(model, missing, type(module).__name__)
    generation: Any = getattr(module, "generation_config", None)
    said = generation.to_dict() if hasattr(generation, "to_dict") else {}
    return model, SimpleNamespace(**{**known, "generation": said})


# ---- Fairseq modules -----------------------------------------------------------------------------


def _write_dictionary(dictionary: Any, path: Path) -> None:
    if hasattr(dictionary, "save"):
        dictionary.save(os.fspath(path))
    else:
        path.write_bytes(Path(dictionary).read_bytes())


def _prefixed(module: Any) -> dict[str, Any]:
    """The tensors of a module, named as in a checkpoint of a whole model."""
    tensors = dict(module.state_dict())
    if any(name.startswith(("decoder.", "encoder.")) for name in tensors):
        return tensors
    return {"decoder." + name: tensor for name, tensor in tensors.items()}


def open_fairseq(
    module: Any, dictionary: Any, args: Any, data_type: object = None, device: str = "auto"
) -> "Model":
    """Converts a module of Fairseq by way of a temporary checkpoint.

    Parameters
    ----------
    module : torch.nn.Module
        A decoder, or a whole model.
    dictionary : fairseq.data.Dictionary or path, or a pair of them
    args : argparse.Namespace or mapping
        What the model was built with.
    data_type : dtype, optional
    device : str

    Returns
    -------
    eet.Model
    """
    import argparse

    from .model import load

    torch: Any = sys.modules.get("torch")
    if torch is None or not hasattr(module, "state_dict"):
        raise ArgumentError("from_torch: a torch module is wanted")
    known = dict(args) if isinstance(args, Mapping) else dict(vars(args))
    state = {"args": argparse.Namespace(**known), "model": _prefixed(module)}
    pair = dictionary if isinstance(dictionary, (list, tuple)) else None

    def fill(folder: Path) -> None:
        torch.save(state, folder / "checkpoint_best.pt")
        if pair is None:
            _write_dictionary(dictionary, folder / "dict.txt")
            return
        languages = (known.get("source_lang") or "src", known.get("target_lang") or "tgt")
        for language, one in zip(languages, pair):
            _write_dictionary(one, folder / f"dict.{language}.txt")

    with _temporary(fill, {"dtype": dtype_name(data_type) or "keep"}) as file:
        return load(file, device=device)
