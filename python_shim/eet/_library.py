"""Finds libeet.so, checks that it is the one this package was written for, and declares it."""
from __future__ import annotations

import ctypes
import os
from ctypes import POINTER, c_char_p, c_int32, c_uint32, c_uint64, c_void_p
from importlib.machinery import PathFinder
from typing import Any, List, Mapping, Optional, Tuple, Type

from . import _structs

ABI_MAJOR = 1
ABI_MINOR = 3
SONAME = f"libeet.so.{ABI_MAJOR}"
BACKEND = "libeet_cuda.so"

_ERROR = POINTER(_structs.Error)

# name: (result, arguments)
FUNCTIONS: List[Tuple[str, Any, Tuple[Any, ...]]] = [
    ("eet_abi", c_uint32, ()),
    ("eet_version", c_char_p, ()),
    ("eet_status_name", c_char_p, (c_int32,)),
    ("eet_model_open", c_int32, (c_char_p, c_void_p, c_void_p, _ERROR)),
    ("eet_model_open_fd", c_int32, (c_int32, c_void_p, c_void_p, _ERROR)),
    ("eet_model_open_memory", c_int32, (c_void_p, c_uint64, c_void_p, c_void_p, _ERROR)),
    ("eet_model_close", None, (c_void_p,)),
    ("eet_model_describe", c_int32, (c_void_p, c_void_p, _ERROR)),
    ("eet_model_fact", c_int32, (c_void_p, c_char_p, c_void_p, _ERROR)),
    ("eet_model_tensor", c_int32, (c_void_p, c_int32, c_void_p, _ERROR)),
    ("eet_model_head", c_int32, (c_void_p, c_int32, c_void_p, _ERROR)),
    ("eet_session_measure", c_int32, (c_void_p, c_void_p, c_void_p, _ERROR)),
    ("eet_session_memory", c_int32, (c_void_p, c_void_p, _ERROR)),
    ("eet_session_create", c_int32, (c_void_p, c_void_p, c_void_p, _ERROR)),
    ("eet_session_destroy", None, (c_void_p,)),
    ("eet_session_cancel", None, (c_void_p,)),
    ("eet_encode", c_int32, (c_void_p, c_void_p, c_void_p, c_int32, _ERROR)),
    ("eet_step", c_int32, (c_void_p, c_void_p, c_void_p, c_int32, _ERROR)),
    ("eet_source", c_int32, (c_void_p, c_void_p, _ERROR)),
    ("eet_source_set", c_int32, (c_void_p, c_int32, c_void_p, _ERROR)),
    ("eet_sequence_fork", c_int32, (c_void_p, c_int32, c_int32, _ERROR)),
    ("eet_sequence_trim", c_int32, (c_void_p, c_int32, c_int32, _ERROR)),
    ("eet_sequence_length", c_int32, (c_void_p, c_int32)),
    ("eet_sequence_export", c_int32, (c_void_p, c_int32, c_int32, c_void_p, c_void_p, _ERROR)),
    ("eet_generate_begin", c_int32, (c_void_p, c_void_p, c_void_p, c_void_p, _ERROR)),
    ("eet_generate_next", c_int32, (c_void_p, c_void_p, c_int32, c_void_p, _ERROR)),
    ("eet_generate_top", c_int32,
     (c_void_p, c_void_p, c_void_p, c_void_p, c_int32, c_void_p, _ERROR)),
    ("eet_generate_beam", c_int32, (c_void_p, c_int32, c_int32, c_void_p, _ERROR)),
    ("eet_generate_end", None, (c_void_p,)),
    ("eet_score", c_int32, (c_void_p, c_void_p, c_void_p, c_void_p, _ERROR)),
    ("eet_layout", c_int32, (c_char_p, c_void_p)),
    ("eet_device_check", c_int32, (c_int32, c_int32, _ERROR)),
    ("eet_model_retain", None, (c_void_p,)),
    ("eet_buffer_create", c_int32, (c_uint64, c_void_p, _ERROR)),
    ("eet_buffer_data", c_void_p, (c_void_p,)),
    ("eet_buffer_retain", None, (c_void_p,)),
    ("eet_buffer_release", None, (c_void_p,)),
    ("eet_dlpack_create", c_int32,
     (c_void_p, c_int32, c_int32, c_void_p, c_void_p, c_void_p, _ERROR)),
    ("eet_session_stream", c_void_p, (c_void_p,)),
    ("eet_session_wait", c_int32, (c_void_p, c_void_p, _ERROR)),
    ("eet_session_fetch", c_int32, (c_void_p, c_void_p, c_void_p, c_uint64, _ERROR)),
    ("eet_buffer_create_on", c_int32, (c_int32, c_int32, c_uint64, c_void_p, _ERROR)),
    ("eet_model_weight", c_int32, (c_void_p, c_int32, c_void_p, _ERROR)),
]


def candidates() -> List[str]:
    """Where libeet.so is looked for, in order; the first one that is there is taken."""
    chosen = os.environ.get("EET_LIBRARY")
    if chosen:
        return [chosen]
    here = os.path.dirname(os.path.abspath(__file__))
    found = [os.path.join(here, "lib", SONAME)]
    root = os.path.dirname(os.path.dirname(here))
    if os.path.exists(os.path.join(root, "engine", "eet.h")):  # a checkout: its builds
        for build in ("release", "all", "dev"):
            found.append(os.path.join(root, "build", build, "lib", SONAME))
    found.append(SONAME)
    return found


def _open() -> Tuple[ctypes.CDLL, str]:
    places = candidates()
    said = ""
    for place in places:
        if os.path.sep in place and not os.path.exists(place) and len(places) > 1:
            continue
        try:
            return ctypes.CDLL(place), place
        except OSError as error:
            said = str(error)
            if place != SONAME:  # a library that is there and does not load is no library to skip
                break
    raise ImportError(f"libeet.so could not be loaded: {said}; looked at: {', '.join(places)}; "
                      "EET_LIBRARY can name it")


def _check_abi(library: ctypes.CDLL, place: str) -> None:
    try:
        library.eet_abi.restype = c_uint32
        abi = int(library.eet_abi())
    except AttributeError:
        raise ImportError(f"{place} has no eet_abi: it is no libeet.so") from None
    major, minor = abi >> 16, abi & 0xFFFF
    if major != ABI_MAJOR or minor < ABI_MINOR:
        raise ImportError(f"{place} has ABI {major}.{minor}; this package needs "
                          f"{ABI_MAJOR}.{ABI_MINOR} or a later {ABI_MAJOR}.x")


def _declare(library: ctypes.CDLL, place: str) -> None:
    for name, result, arguments in FUNCTIONS:
        try:
            function = getattr(library, name)
        except AttributeError:
            raise ImportError(f"{place} has no function {name}; it is not the library that "
                              "this package was written for") from None
        function.restype = result
        function.argtypes = list(arguments)


def check_layouts(library: ctypes.CDLL, place: str,
                  structs: Mapping[str, Type[ctypes.Structure]]) -> None:
    """Compares structs, by their names in C, with the library's own. One that begins with `size`
    may be longer there: what it has more, this package leaves zero."""
    offset = c_int32()
    where = ctypes.byref(offset)
    for name, kind in structs.items():
        wrong = None
        size = library.eet_layout(name.encode(), None)
        grows = kind._fields_[0][0] == "size"
        if size != ctypes.sizeof(kind) and not (grows and size > ctypes.sizeof(kind)):
            wrong = f"{name} has {size} bytes there, {ctypes.sizeof(kind)} here"
        for field in kind._fields_:
            described = getattr(kind, field[0])
            size = library.eet_layout(f"{name}.{field[0]}".encode(), where)
            if (size, offset.value) != (described.size, described.offset):
                wrong = (f"{name}.{field[0]} has {size} bytes at {offset.value} there, "
                         f"{described.size} at {described.offset} here")
        if wrong is not None:
            raise ImportError(f"{place} is not the library that this package was written for: "
                              f"{wrong}")


def _load() -> Tuple[ctypes.CDLL, str]:
    library, place = _open()
    _check_abi(library, place)
    _declare(library, place)
    check_layouts(library, place, _structs.STRUCTS)
    return library, place


def _name_backend() -> None:
    """Lets this package's own libeet.so find the CUDA backend of the package eet_cuda, which is not
    imported for that. A backend beside the library comes first; a named one stays."""
    here = os.path.dirname(os.path.abspath(__file__))
    if os.environ.get("EET_BACKEND_PATH") or path != os.path.join(here, "lib", SONAME):
        return
    found = PathFinder.find_spec("eet_cuda")
    for folder in (found.submodule_search_locations or ()) if found is not None else ():
        if os.path.exists(os.path.join(folder, BACKEND)):
            os.environ["EET_BACKEND_PATH"] = folder
            return


lib, path = _load()
_name_backend()


def backend_path() -> str:
    """The file that models on CUDA are run by, where there is one: beside libeet.so, else what
    ``EET_BACKEND_PATH`` names. Else ""."""
    named = os.environ.get("EET_BACKEND_PATH", "")
    beside = os.path.join(os.path.dirname(library_path()), BACKEND)
    places = [beside, os.path.join(named, BACKEND), named] if named else [beside]
    return next((place for place in places if os.path.isfile(place)), "")


def library_path() -> str:
    """The file that libeet.so was loaded from."""
    with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as maps:
        for line in maps:
            if line.rstrip().endswith(os.path.basename(os.path.realpath(path))):
                return line.split(None, 5)[5].rstrip("\n")
    return path


def library_version() -> str:
    """The library's version, for example ``"0.1.0"``."""
    version: Optional[bytes] = lib.eet_version()
    return (version or b"").decode()
