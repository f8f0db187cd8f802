"""The structs of eet_types.h and eet.h. `_library` compares them with the library's own."""
from __future__ import annotations

import ctypes
from ctypes import POINTER, c_char, c_char_p, c_double, c_float, c_int32, c_int64, c_uint8
from ctypes import c_uint32, c_uint64, c_void_p
from typing import Dict, Type

MAX_RANK = 6
HIDDEN = -1


class Error(ctypes.Structure):
    _fields_ = [("status", c_int32), ("reserved", c_int32), ("offset", c_uint64),
                ("text", c_char * 496)]


class Array(ctypes.Structure):
    _fields_ = [("size", c_uint32), ("dtype", c_int32), ("memory", c_int32), ("rank", c_int32),
                ("shape", c_int64 * MAX_RANK), ("stride", c_int64 * MAX_RANK),
                ("data", c_void_p)]


class ModelOptions(ctypes.Structure):
    _fields_ = [("size", c_uint32), ("device", c_int32), ("device_index", c_int32),
                ("dtype", c_int32), ("verify", c_int32), ("load", c_int32)]


class ModelInfo(ctypes.Structure):
    _fields_ = [("size", c_uint32), ("has_encoder", c_int32), ("has_decoder", c_int32),
                ("has_cross", c_int32), ("heads", c_int32), ("hidden", c_int32),
                ("vocab_size", c_int32), ("max_positions", c_int32), ("tensors", c_int32),
                ("weight_bytes", c_uint64), ("parameters", c_uint64),
                ("content_sha256", c_uint8 * 32), ("weights_sha256", c_uint8 * 32),
                ("family", c_char * 32)]


class Fact(ctypes.Structure):
    _fields_ = [("size", c_uint32), ("kind", c_int32), ("integer", c_int64), ("real", c_double),
                ("text", c_char_p)]


class TensorInfo(ctypes.Structure):
    _fields_ = [("size", c_uint32), ("array", Array), ("name", c_char_p)]


class HeadInfo(ctypes.Structure):
    _fields_ = [("size", c_uint32), ("take", c_int32), ("width", c_int32), ("labels", c_int32),
                ("name", c_char_p), ("label", POINTER(c_char_p))]


class SessionOptions(ctypes.Structure):
    _fields_ = [("size", c_uint32), ("threads", c_int32), ("max_sequences", c_int32),
                ("max_tokens", c_int32), ("max_batch_tokens", c_int32), ("cache_tokens", c_int32),
                ("max_sources", c_int32), ("source_tokens", c_int32), ("max_outputs", c_int32),
                ("cache_dtype", c_int32)]


class MemoryNeed(ctypes.Structure):
    _fields_ = [("size", c_uint32), ("reserved", c_int32), ("cache_bytes", c_uint64),
                ("workspace_bytes", c_uint64), ("host_bytes", c_uint64)]


class MemoryUse(ctypes.Structure):
    _fields_ = [("size", c_uint32), ("reserved", c_int32), ("weights_bytes", c_uint64),
                ("cache_bytes", c_uint64), ("workspace_bytes", c_uint64),
                ("graphs_bytes", c_uint64), ("library_bytes", c_uint64), ("free_bytes", c_uint64),
                ("host_bytes", c_uint64)]


class Batch(ctypes.Structure):
    _fields_ = [("size", c_uint32), ("rows", c_int32), ("start", c_void_p), ("tokens", c_void_p),
                ("types", c_void_p), ("positions", c_void_p), ("sequence", c_void_p),
                ("source", c_void_p)]


class Output(ctypes.Structure):
    _fields_ = [("size", c_uint32), ("head", c_int32), ("take", c_int32), ("dtype", c_int32),
                ("memory", c_int32), ("count", c_int32), ("at", c_void_p), ("data", c_void_p),
                ("bytes", c_uint64)]


class GenerateOptions(ctypes.Structure):
    _fields_ = [("size", c_uint32), ("head", c_int32), ("max_new_tokens", c_int32),
                ("ignore_eos", c_int32), ("stop_count", c_int32), ("top_k", c_int32),
                ("stop", c_void_p), ("temperature", c_double), ("top_p", c_double),
                ("repetition_penalty", c_double), ("min_new_tokens", c_int32),
                ("beams", c_int32), ("seed", c_uint64), ("stream", c_void_p),
                ("length_penalty", c_double), ("early_stopping", c_int32), ("top_n", c_int32),
                ("forced_count", c_int32), ("reserved", c_int32), ("forced", c_void_p)]


class Event(ctypes.Structure):
    _fields_ = [("row", c_int32), ("token", c_int32), ("position", c_int32), ("finish", c_int32),
                ("log_prob", c_float), ("reserved", c_int32)]


class Beam(ctypes.Structure):
    _fields_ = [("size", c_uint32), ("finish", c_int32), ("count", c_int32),
                ("reserved", c_int32), ("tokens", POINTER(c_int32)),
                ("log_probs", POINTER(c_float)), ("score", c_double)]


class Scores(ctypes.Structure):
    _fields_ = [("size", c_uint32), ("head", c_int32), ("top", c_int32), ("reserved", c_int32),
                ("log_prob", c_void_p), ("top_token", c_void_p), ("top_log_prob", c_void_p)]


# By the names that the headers give them.
STRUCTS: Dict[str, Type[ctypes.Structure]] = {
    "eet_error": Error, "eet_array": Array, "eet_model_options": ModelOptions,
    "eet_model_info": ModelInfo, "eet_fact": Fact, "eet_tensor_info": TensorInfo,
    "eet_head_info": HeadInfo, "eet_session_options": SessionOptions,
    "eet_memory_need": MemoryNeed, "eet_memory_use": MemoryUse, "eet_batch": Batch,
    "eet_output": Output,
    "eet_generate_options": GenerateOptions, "eet_event": Event, "eet_beam": Beam,
    "eet_scores": Scores,
}
