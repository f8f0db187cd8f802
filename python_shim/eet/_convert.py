"""Checkpoints to .eet files, by eet-convert in a process of its own; and what eet-inspect tells."""
from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from typing import Any, Dict, List, Mapping, Optional, Sequence, Type, Union

from ._arrays import dtype_of
from ._errors import BY_CODE, ConversionError, Error, InternalError
from ._library import library_path

__all__ = ["convert", "find_converter", "find_tool", "inspect"]

Path = Union[str, "os.PathLike[str]"]

_classes: Dict[str, Type[Error]] = {
    code: type(f"Conversion{kind.__name__}", (ConversionError, kind),
               {"__module__": __name__, "__doc__": kind.__doc__, "code": code})
    for code, kind in BY_CODE.items()}
globals().update({kind.__name__: kind for kind in _classes.values()})  # so that they are pickled


def find_tool(name: str) -> str:
    """The path of a command: ``EET_BIN``, beside the package, beside libeet.so's folder, PATH.

    Raises
    ------
    ConversionError
        It is nowhere.
    """
    chosen = os.environ.get("EET_BIN")
    here = os.path.dirname(os.path.abspath(__file__))
    library = os.path.dirname(os.path.abspath(library_path()))
    folders = [chosen] if chosen else [
        os.path.join(here, "bin"), os.path.join(os.path.dirname(library), "bin")]
    for folder in folders:
        path = os.path.join(folder, name)
        if os.access(path, os.X_OK):
            return path
    found = None if chosen else shutil.which(name)
    if found is None:
        raise ConversionError(f"{name} is not in {', '.join(folders)}"
                              f"{'' if chosen else ' nor in PATH'}; EET_BIN can name its folder",
                              code="EET_E_IO")
    return found


def find_converter() -> str:
    """The path of eet-convert."""
    return find_tool("eet-convert")


def _error(said: str, code: int, talk: str, classes: Mapping[str, Type[Error]]) -> Error:
    """The exception for what a command said with --json."""
    try:
        told: Dict[str, Any] = json.loads(said)["error"]
    except (ValueError, KeyError, TypeError):
        last = talk.strip().splitlines()[-1:] or ["it said nothing"]
        what = f"was killed by signal {-code}" if code < 0 else f"ended with {code}"
        return classes.get("", ConversionError)(f"the command {what}: {last[0]}")
    text = told["message"] if not told.get("hint") else f"{told['message']}; {told['hint']}"
    if told.get("path"):
        text = f"{told['path']}: {text}"
    kind = classes.get(told["code"], InternalError)
    return kind(text, path=told.get("path"), offset=told.get("offset"), code=told["code"])


def _run(command: Sequence[str], classes: Mapping[str, Type[Error]]) -> Dict[str, Any]:
    """One JSON document of a command. Ctrl-C ends it, with nothing half written left behind."""
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE) as process:
        try:
            out, err = process.communicate()
        except BaseException:
            process.send_signal(signal.SIGTERM)
            process.wait()
            raise
    said, talk = out.decode("utf-8", "replace"), err.decode("utf-8", "replace")
    if process.returncode != 0:
        raise _error(said, process.returncode, talk, classes)
    document: Dict[str, Any] = json.loads(said)
    return document


def convert(source: Path, output: Optional[Path] = None, *, dtype: Any = "keep",
            arch: Optional[str] = None, config: Optional[Path] = None,
            weights: Optional[Path] = None, clamp: bool = False, allow_nonfinite: bool = False,
            allow_unused: Optional[str] = None, metadata: Optional[Mapping[str, str]] = None,
            final_norm: Optional[str] = None, sentence_head: bool = True,
            hash_source: bool = False, follow_symlinks: bool = False, force: bool = False,
            dry_run: bool = False) -> Dict[str, Any]:
    """Converts a checkpoint of Transformers or Fairseq into one .eet file.

    eet-convert does it, in a process of its own that never executes anything of the checkpoint.

    Parameters
    ----------
    source : path
        A folder, or a checkpoint file.
    output : path, optional
        The file to write; default: ``NAME.eet`` in the current folder.
    dtype : str or dtype
        ``"keep"``, ``"f32"``, ``"f16"`` or ``"bf16"``.
    arch, config, weights, clamp, allow_nonfinite, allow_unused, metadata, final_norm,
    sentence_head, hash_source, follow_symlinks, force, dry_run
        eet-convert's options of these names (docs/commands/eet-convert.md).

    Returns
    -------
    dict
        What eet-convert tells with --json: ``output``, ``content_sha256``, ``tensors``, ``notes``.

    Raises
    ------
    ConversionError
        Also of the class of its status: FormatError, UnsupportedError, ExistsError, FileError ...
    """
    command: List[str] = [find_converter(), "--json", "--quiet"]
    kind = "keep" if dtype in (None, "keep", "auto") else dtype_of(dtype).name
    command += ["--dtype", kind]
    for name, value in (("--output", output), ("--config", config), ("--weights", weights),
                        ("--arch", arch), ("--allow-unused", allow_unused),
                        ("--final-norm", final_norm)):
        if value is not None:
            command += [name, os.fspath(value)]
    for key, text in (metadata or {}).items():
        command += ["--metadata", f"{key}={text}"]
    for name, wanted in (("--clamp", clamp), ("--allow-nonfinite", allow_nonfinite),
                         ("--no-sentence-head", not sentence_head),
                         ("--hash-source", hash_source), ("--follow-symlinks", follow_symlinks),
                         ("--force", force), ("--dry-run", dry_run)):
        if wanted:
            command.append(name)
    return _run([*command, "--", os.fspath(source)], _classes)


def inspect(path: Path) -> Dict[str, Any]:
    """What a .eet file holds, without opening it as a model: facts, heads, tensors, assets,
    provenance, digests.

    Parameters
    ----------
    path : path

    Returns
    -------
    dict
        The document of ``eet-inspect --json``.

    Raises
    ------
    FormatError, FileError, UnsupportedError
    """
    return _run([find_tool("eet-inspect"), "--json", "--", os.fspath(path)], BY_CODE)
