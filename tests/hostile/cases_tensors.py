"""Tensors as views of storages, of every dtype and with every kind of value: numbers 49 to 57 of
docs/refusals.md, and 53: what a storage is called.
"""
import os
import random
import struct
import subprocess
import tempfile
from pathlib import Path

import make_torch as mt
from hostile import Case

BIN = Path(os.environ["EET_BIN"])
TENSORS = mt.state_dict()
WPE = "transformer.wpe.weight"          # [8, 8]
BIAS = "transformer.ln_f.bias"          # [8]
WIDTH = 8


def place(folder: Path, tensors=TENSORS, config=None, **quirks) -> list:
    mt.write_config(folder / "config.json", **(config or {}))
    mt.write_zip(folder / "pytorch_model.bin", tensors, **quirks)
    return [folder]


def good(folder: Path) -> list:
    return place(folder)


def written(tensors, config=None, **quirks):
    return lambda folder: place(folder, tensors, config, **quirks)


def plus(**values):
    return written(TENSORS | values)


def instead(name, value, **quirks):
    return written(TENSORS | {name: value}, **quirks)


def floats(name):
    data = TENSORS[name][2]
    return struct.unpack(f"<{len(data) // 4}f", data)


def packed(values, code="f") -> bytes:
    return struct.pack(f"<{len(values)}{code}", *values)


def view(values, shape, stride, offset=0, code="f", dtype="float32"):
    return mt.View(mt.Storage(packed(values, code), dtype), shape, stride, offset)


# --- 49: views that do not fit ------------------------------------------------------------------


def wild(number_name, says, exit_code=4, **fields):
    """An extra tensor over a storage of 64 floats."""
    fields = {"shape": (8, 8), **fields}

    def make(folder):
        return place(folder, TENSORS | {"extra": mt.View(mt.Storage(bytes(256)), **fields)})

    return Case(49, number_name, make, exit_code, says)


OUTSIDE = [
    wild("one past the end", "reaches past the end", offset=1),
    wild("offset far past the end", "reaches past the end", offset=2**62),
    wild("offset and reach that wrap", "reaches past the end", offset=2**63 - 1),
    wild("stride past the end", "reaches past the end", stride=(9, 1)),
    wild("strides whose sum wraps", "more elements than can be counted", shape=(2**40, 2),
         stride=(2**40, 1)),
    wild("a negative offset", "its offset", offset=-1),
    wild("an offset of 2^64", "its offset", offset=2**64),
    wild("a negative size", "is negative", shape=(-8, 8), stride=(8, 1)),
    wild("a negative stride", "is negative", stride=(-8, 1)),
    wild("a size that is a float", "no tuple of integers", shape=(8.0, 8), stride=(8, 1)),
    wild("a size that is a boolean", "no tuple of integers", shape=(True, 8), stride=(8, 1)),
    wild("fewer strides than sizes", "not equally long", stride=(1,)),
    wild("a product of 2^64 + 2^32", "more elements than can be counted",
         shape=(2**32 + 1, 2**32), stride=(0, 0)),
    wild("a product of 2^64", "more elements than can be counted", shape=(2**32, 2**32),
         stride=(0, 0)),
    wild("9 dimensions", "9 dimensions", shape=(1,) * 9),
    wild("65 dimensions", "65 dimensions", shape=(1,) * 65),
    Case(49, "an offset in place of the storage",
         plus(extra=mt.Call("torch._utils._rebuild_tensor_v2", (1, 0, (), (), False, {}))), 4,
         "no storage"),
    Case(49, "too few arguments",
         plus(extra=mt.Call("torch._utils._rebuild_tensor_v2", (1, 0, ()))), 4, "of 3 arguments"),
    Case(49, "a storage of negative length",
         plus(extra=mt.View(mt.Storage(bytes(4), numel=-1), (1,))), 4, "data.pkl is not"),
    Case(49, "a storage of 2^62 doubles",
         plus(extra=mt.View(mt.Storage(bytes(8), "float64", numel=2**62), (1,))), 4,
         "too many elements"),
    Case(49, "a missing record of a petabyte",
         plus(extra=mt.View(mt.Storage(None, numel=2**48), (2**48,))), 4, "is missing"),
    *[Case(49, f"the key {key!r}", plus(extra=mt.View(mt.Storage(bytes(4), key=key), (1,))), 4,
           says)
      for key, says in (("../../etc/passwd", "no plain relative path"), ("01", "is no number"),
                        ("-1", "is no number"), ("", "is no number"), ("1" * 19, "is no number"),
                        ("\x1b[2J", "not printable"), ("0 ", "is no number"))],
    Case(49, "a storage of no storage class",
         instead(BIAS, mt.View(mt.Storage(bytes(32), persistent_id=(
             "storage", mt.Global("torch.Tensor"), "99", "cpu", 8), key="99"), (8,))), 3,
         "its storage class is not known"),
    Case(49, "a storage of another module's class",
         plus(extra=mt.View(mt.Storage(bytes(4), persistent_id=(
             "storage", mt.Global("evil.FloatStorage"), "99", "cpu", 1), key="99"), (1,))), 4,
         "no storage class"),
    Case(49, "a storage of four items",
         plus(extra=mt.View(mt.Storage(bytes(4), persistent_id=(
             "storage", mt.Global("torch.FloatStorage"), "99", "cpu"), key="99"), (1,))), 4,
         "data.pkl is not"),
]


# --- 50, 51, 57: views that fit -----------------------------------------------------------------


def spread(values, step, before=0):
    """The values `step` apart, noise between them."""
    out = [random.Random(step).random() for _ in range(before + step * len(values))]
    out[before::step] = values
    return out


TURNED = [floats(WPE)[column * WIDTH + row] for row in range(WIDTH) for column in range(WIDTH)]
ONES = mt.state_dict() | {BIAS: ("float32", (8,), packed([0.5] * 8))}
BIG = [9.0] * WIDTH + list(floats(WPE)) + [9.0] * WIDTH
SHARED = mt.Storage(packed(list(floats(WPE)) + list(floats(BIAS))))

FITTING = [
    Case(50, "transposed", instead(WPE, view(TURNED, (8, 8), (1, 8))), 0, same_as=good),
    Case(50, "a slice of rows", instead(WPE, view(BIG, (8, 8), (8, 1), 8)), 0, same_as=good),
    Case(50, "every second element",
         instead(BIAS, view(spread(floats(BIAS), 2, 1), (8,), (2,), 1)), 0, same_as=good),
    Case(50, "every third of a matrix",
         instead(WPE, view(spread(floats(WPE), 3), (8, 8), (24, 3))), 0, same_as=good),
    Case(50, "one element expanded", written(ONES | {BIAS: view([0.5], (8,), (0,))}), 0,
         same_as=written(ONES)),
    Case(50, "two tensors of one storage",
         written(TENSORS | {WPE: mt.View(SHARED, (8, 8)), BIAS: mt.View(SHARED, (8,), offset=64)}),
         0, same_as=good),
    Case(50, "a vector that is a row of a matrix",
         instead(BIAS, view(BIG[:8] + list(floats(BIAS)), (8,), (1,), 8)), 0, same_as=good),
    Case(51, "one element as 2^40", plus(extra=view([1.0], (2**20, 2**20), (0, 0))), 6,
         "expands 4 bytes to 4398046511104"),
    *[Case(57, name, plus(extra=value), 0, options=("--allow-unused", "extra"), same_as=good)
      for name, value in (("an empty tensor", ("float32", (0, 7), b"")),
                          ("an empty view far out", view([1.0], (0, 2**40), (2**40, 1))),
                          ("a scalar", ("float32", (), packed([3.0]))),
                          ("a counter", ("int64", (1,), packed([3], "q"))))],
]


# --- 52, 53: dtypes and storage classes ---------------------------------------------------------

ODD = {"float64": "d", "int64": "q", "int32": "i", "int16": "h", "int8": "b", "uint8": "B",
       "uint16": "H", "uint32": "I", "uint64": "Q"}


def of_dtype(dtype, shape=(8,)):
    count = mt.product(shape)
    if dtype in ("float64",):
        return dtype, shape, packed(floats(BIAS)[:count], "d")
    return dtype, shape, bytes(mt.DTYPES[dtype][0] * count)


NEEDED = {"int64": 3, "int32": 3, "int16": 3, "int8": 3, "uint8": 3, "uint16": 3, "uint32": 3,
          "uint64": 3, "bool": 3, "complex64": 3, "complex128": 3, "float8_e4m3fn": 3,
          "float8_e5m2": 3}
QUANTISED = mt.Call("torch._utils._rebuild_qtensor", (
    mt.Storage(bytes(8), persistent_id=("storage", mt.Global("torch.QInt8Storage"), "99", "cpu", 8),
               key="99"), 0, (8,), (1,), (mt.Global("torch.per_tensor_affine"), 0.1, 0), False, {}))
REFUSED = {
    "quantised": (QUANTISED, "it is quantised"),
    "sparse": (mt.Call("torch._utils._rebuild_sparse_tensor",
                       (mt.Call("torch.serialization._get_layout", ("torch.sparse_coo",)), ())),
               "it is sparse"),
    "nested": (mt.Call("torch._utils._rebuild_nested_tensor", (1, 2, 3, 4)), "nested"),
    "meta": (mt.Call("torch._utils._rebuild_meta_tensor_no_storage",
                     (mt.Global("torch.float32"), (8,), (1,), False)), "it has no data"),
    "on the meta device": (mt.View(mt.Storage(bytes(32), location="meta"), (8,)), "it has no data"),
    "distributed": (mt.Call("torch.distributed.tensor._api.DTensor", ()), "spread over processes"),
    "of another device": (mt.Call("torch._utils._rebuild_device_tensor_from_numpy",
                                  (1, 2, 3, False)), "numpy array"),
    "of a later torch": (mt.Call("torch._utils._rebuild_tensor_v9", ()), "not known"),
    "conjugated": (mt.View(mt.Storage(packed(floats(BIAS))), (8,), metadata={"neg": True}),
                   "conjugated or negated"),
}

DTYPES = [
    Case(52, "float64 is stored as float32", instead(BIAS, of_dtype("float64")), 0, same_as=good),
    *[Case(52, f"{dtype} where weights are needed", instead(BIAS, of_dtype(dtype)), code, dtype)
      for dtype, code in NEEDED.items()],
    *[Case(52, f"{dtype} left out", plus(extra=of_dtype(dtype)), 0, same_as=good,
           options=("--allow-unused", "extra")) for dtype in mt.DTYPES],
    *[Case(52, f"{name} where weights are needed", instead(BIAS, value), 3, says)
      for name, (value, says) in REFUSED.items()],
    *[Case(52, f"{name} left out", plus(extra=value), 0, same_as=good,
           options=("--allow-unused", "extra")) for name, (value, says) in REFUSED.items()],
    Case(52, "a boolean of 2", plus(**{"transformer.h.0.attn.bias": (
        "bool", (1, 1, 8, 8), b"\2" * 64)}), 0, same_as=good),
    Case(52, "an unknown dtype",
         plus(extra=mt.Call("torch._utils._rebuild_tensor_v3", (
             mt.Storage(bytes(8), untyped=True), 0, (8,), (1,), False, {},
             mt.Global("torch.float5")))), 0, same_as=good, options=("--allow-unused", "extra")),
    Case(52, "a dtype that is none",
         plus(extra=mt.Call("torch._utils._rebuild_tensor_v3", (
             mt.Storage(bytes(8), untyped=True), 0, (8,), (1,), False, {}, "float32"))), 4,
         "no dtype of torch"),
    Case(52, "float32 in an untyped storage",
         instead(BIAS, mt.View(mt.Storage(packed(floats(BIAS)), untyped=True), (8,),
                               dtype="float32")), 0, same_as=good),
    Case(53, "one storage as floats and as longs",
         plus(a=mt.View(mt.Storage(bytes(64), key="99"), (16,)),
              b=mt.View(mt.Storage(bytes(64), "int64", key="99"), (8,))), 4,
         "storage 99 is named as FloatStorage and as LongStorage"),
    Case(53, "one storage of two lengths",
         plus(a=mt.View(mt.Storage(bytes(64), key="99"), (16,)),
              b=mt.View(mt.Storage(bytes(64), key="99", numel=8), (8,))), 4,
         "storage 99 is named with 64 and with 32 bytes"),
    Case(53, "one storage with and without a dtype",
         written(TENSORS | {
             BIAS: mt.View(mt.Storage(packed(floats(BIAS)), key="99"), (8,)),
             "transformer.ln_f.extra": mt.View(
                 mt.Storage(packed(floats(BIAS)), key="99", untyped=True), (8,), dtype="float32")}),
         0, same_as=good, options=("--allow-unused", "transformer.ln_f.extra")),
]


# --- 54, 55: ties, and what hangs on a tensor ---------------------------------------------------

COPY = ("float32", TENSORS["lm_head.weight"][1], bytes(bytearray(TENSORS["lm_head.weight"][2])))
ALMOST = ("float32", COPY[1], COPY[2][:-1] + bytes([COPY[2][-1] ^ 1]))
PLAIN = mt.as_call(TENSORS[BIAS], {})
HOOKED = mt.View(mt.Storage(TENSORS[BIAS][2]), (8,), hooks={1: "hook"})


def wrapped(value, times):
    for _ in range(times):
        value = mt.Call("torch._utils._rebuild_parameter", (value, True, {}))
    return value


TYPED = mt.Call("torch._tensor._rebuild_from_type_v2", (
    PLAIN.reduced[0], mt.Global("somewhere.Weight"), PLAIN.reduced[1], {"note": 1}))
STATED = mt.Call("torch._utils._rebuild_parameter_with_state", (PLAIN, True, {}, {"note": 1}))
OLD = mt.Call("torch._utils._rebuild_tensor", PLAIN.reduced[1][:4])

TIES = [
    Case(54, "tied by its bytes", written(TENSORS | {"lm_head.weight": COPY}), 0, same_as=good),
    Case(54, "tied by leaving it out",
         written({k: v for k, v in TENSORS.items() if k != "lm_head.weight"}), 0, same_as=good),
    Case(54, "tied in the configuration, not in the file",
         written(TENSORS | {"lm_head.weight": ALMOST}), 2, "tie_word_embeddings"),
    Case(54, "not tied in the configuration",
         written(TENSORS | {"lm_head.weight": ALMOST}, {"tie_word_embeddings": False}), 0),
    Case(55, "a parameter", instead(BIAS, wrapped(PLAIN, 1)), 0, same_as=good),
    Case(55, "a parameter with a state", instead(BIAS, STATED), 0, "attributes of 1 tensors",
         same_as=good),
    Case(55, "a tensor subclass", instead(BIAS, TYPED), 0, "attributes of 1 tensors",
         same_as=good),
    Case(55, "backward hooks", instead(BIAS, HOOKED), 0, "backward hooks of 1 tensors",
         same_as=good),
    Case(55, "as torch 0.3 wrote it", instead(BIAS, OLD), 0, same_as=good),
    Case(55, "wrapped 60 times", instead(BIAS, wrapped(PLAIN, 60)), 0, same_as=good),
    Case(55, "wrapped 100 times", instead(BIAS, wrapped(PLAIN, 100)), 6, "wrapped more than 64"),
    Case(55, "a parameter of no tensor", instead(BIAS, wrapped("x", 1)), 4, "is no tensor"),
    *[Case(55, f'under "{key}"', written({"epoch": 3, key: mt.Call("collections.OrderedDict", (
        [[name, mt.as_call(value, {})] for name, value in TENSORS.items()],))}), 0,
           f'only "{key}" is read', same_as=good)
      for key in ("state_dict", "model_state_dict", "model", "module")],
    Case(55, "a whole model", written(mt.Call("somewhere.Net", (), {
        "_parameters": {}, "_buffers": {}, "_modules": {}})), 3, "save model.state_dict()"),
    Case(55, "a list", written([1, 2, 3]), 3, "holds a list"),
    Case(55, "no tensors at all", written({"a": 1}), 3, "no map of tensors"),
]


# --- 56: values ---------------------------------------------------------------------------------


def values_of(path: Path, name: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "values"
        subprocess.run([BIN / "eet-inspect", path, "--tensor", name, "--dump", "raw", "-o", target],
                       check=True, capture_output=True)
        return target.read_bytes()


def bits(expected: str):
    """The 16-bit elements of the final norm's bias as they lie in the file."""

    def check(folder, output):
        found = values_of(output, "dec.norm.b").hex(" ", 2)
        assert found == expected, f"{found}, expected {expected}"

    return check


def with_bias(*values):
    return instead(BIAS, ("float32", (8,), packed(values)))


INF, NAN = float("inf"), float("nan")
ODD_VALUES = (1e6, -1e6, 1e-7, -0.0, 2.0**-24, 2.0**-26, 65504.0, 0.1)

VALUES = [
    Case(56, "NaN", with_bias(NAN, 0, 0, NAN, 0, 0, 0, 0), 2, "2 values are NaN or infinite"),
    Case(56, "infinity", with_bias(0, 0, INF, 0, 0, 0, -INF, INF), 2, "3 values are NaN or infinite"),
    Case(56, "NaN allowed", with_bias(NAN, 0, 0, 0, 0, 0, 0, INF), 0,
         options=("--allow-nonfinite",)),
    Case(56, "1e6 as float16", with_bias(*ODD_VALUES), 2, "2 values are too large for f16",
         options=("--dtype", "f16")),
    Case(56, "1e6 as float16, clamped", with_bias(*ODD_VALUES), 0,
         options=("--dtype", "f16", "--clamp"),
         check=bits("ff7b fffb 0200 0080 0100 0000 ff7b 662e")),
    Case(56, "1e6 as bfloat16", with_bias(*ODD_VALUES), 0, options=("--dtype", "bf16"),
         check=bits("7449 74c9 d733 0080 8033 8032 8047 cd3d")),
    Case(56, "a double that float32 cannot hold",
         instead(BIAS, ("float64", (8,), packed([1e300] + [0] * 7, "d"))), 2, "too large for f32"),
]

CASES = OUTSIDE + FITTING + DTYPES + TIES + VALUES
