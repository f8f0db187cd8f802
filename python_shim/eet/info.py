"""``python -m eet.info``: which library this is, what it can run on, and why not."""
from __future__ import annotations

import json
import os
import platform
import sys
from typing import Any, Dict, List

from . import _library, _structs
from ._errors import Error, error_of

__all__ = ["backends", "describe"]


def _why_not(device: int) -> str:
    """Why models cannot be opened there, or ""."""
    error = _structs.Error()
    status = _library.lib.eet_device_check(device, 0, error)
    return "" if status == 0 else str(error_of(status, error))


def backends() -> List[str]:
    """What models can be opened on: ``["cpu"]``, ``["cpu", "cuda"]``."""
    return [name for name, device in (("cpu", 0), ("cuda", 1)) if not _why_not(device)]


def _features() -> List[str]:
    wanted = ("sse4_2", "avx", "avx2", "fma", "f16c", "avx512f", "avx512bw", "avx512vl",
              "avx512_bf16", "avx512_vnni", "amx_bf16", "sha_ni")
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
            for line in file:
                if line.startswith("flags"):
                    flags = set(line.split(":", 1)[1].split())
                    return [name for name in wanted if name in flags]
    except OSError:
        pass
    return []


def describe() -> Dict[str, Any]:
    """What ``python -m eet.info --json`` prints."""
    from . import __version__
    from ._convert import find_converter

    abi = int(_library.lib.eet_abi())
    try:
        converter = find_converter()
    except Error as error:
        converter = f"none: {error}"
    return {
        "schema_version": 1,
        "package": __version__,
        "library": _library.library_path(),
        "library_version": _library.library_version(),
        "abi": f"{abi >> 16}.{abi & 0xFFFF}",
        "looked_at": _library.candidates(),
        "cuda_backend": _library.backend_path() or "none",
        "converter": converter,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cpus": len(os.sched_getaffinity(0)),
        "cpu_features": _features(),
        "backends": {name: _why_not(device) or "here"
                     for name, device in (("cpu", 0), ("cuda", 1))},
    }


def main(arguments: List[str]) -> int:
    """The command."""
    if arguments not in ([], ["--json"]):
        print("usage: python -m eet.info [--json]", file=sys.stderr)
        return 2
    told = describe()
    if arguments:
        print(json.dumps(told, indent=2))
        return 0
    width = max(map(len, told))
    for key, value in told.items():
        if key == "backends":
            for name, state in value.items():
                print(f"{'backend ' + name:{width}}  {state}")
        elif key != "schema_version":
            print(f"{key:{width}}  {' '.join(value) if isinstance(value, list) else value}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
