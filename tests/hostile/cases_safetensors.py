"""safetensors: numbers 58 to 61 of docs/refusals.md."""
import json
import struct
from pathlib import Path

import make_torch as mt
from hostile import Case

TENSORS = mt.state_dict()
FIRST = "transformer.wte.weight"  # 512 bytes of float32, shape [16, 8]


def place(folder: Path, data: bytes) -> list:
    mt.write_config(folder / "config.json")
    (folder / "model.safetensors").write_bytes(data)
    return [folder]


def good(folder: Path) -> list:
    return place(folder, mt.safetensors_bytes(TENSORS, {"format": "pt"}))


def torch(folder: Path) -> list:
    mt.write_config(folder / "config.json")
    mt.write_zip(folder / "pytorch_model.bin", TENSORS)
    return [folder]


def file(**quirks):
    return lambda folder: place(folder, mt.safetensors_bytes(TENSORS, **quirks))


def header_of() -> dict:
    whole = mt.safetensors_bytes(TENSORS)
    (length,) = struct.unpack_from("<Q", whole)
    return json.loads(whole[8:8 + length])


def edited(text_change):
    """The header's text changed; the data stay."""

    def make(folder):
        text = json.dumps(header_of(), separators=(",", ":")).encode()
        changed = text_change(text)
        assert changed != text
        return place(folder, mt.safetensors_bytes(TENSORS, header=changed))

    return make


def first(**values):
    """Fields of the first tensor's line."""

    def change(table):
        table[FIRST] = {**table[FIRST], **values}

    return file(change=change)


def first_text(old: bytes, new: bytes):
    """The first tensor's line as text; json.dumps would not write what is wanted."""
    return edited(lambda text: text.replace(old, new, 1))


def sparse(length: int, size: int):
    def make(folder):
        mt.write_config(folder / "config.json")
        with open(folder / "model.safetensors", "wb") as out:
            out.write(struct.pack("<Q", length) + b"{")
            out.truncate(size)
        return [folder]

    return make


def swap_order(table):
    """The lines of a header need not be in the order of the data."""
    return dict(reversed(table.items()))


def shift(by: int):
    def change(table):
        begin, end = table["transformer.wpe.weight"]["data_offsets"]
        table["transformer.wpe.weight"]["data_offsets"] = [begin + by, end + by]

    return change


def extra(name, dtype, shape, data):
    """A tensor that nothing needs."""

    def make(folder):
        def change(table):
            end = max(line["data_offsets"][1] for line in table.values())
            table[name] = {"dtype": dtype, "shape": shape, "data_offsets": [end, end + len(data)]}

        return place(folder, mt.safetensors_bytes(TENSORS, change=change, tail=data))

    return make


def odd_start(folder):
    """As MLX writes: no padding, so that the data begin at an odd byte."""
    for spaces in range(2):
        text = json.dumps(header_of(), separators=(",", ":")).encode() + b" " * spaces
        if len(text) % 2 == 1:
            return place(folder, mt.safetensors_bytes(TENSORS, header=text))
    raise AssertionError


def deep(folder):
    text = b'{"a":' + b"[" * 10000 + b"]" * 10000 + b"}"
    return place(folder, mt.safetensors_bytes({}, header=text))


def twice(second: bytes):
    line = b':{"dtype":"F32","shape":[16,8],"data_offsets":[0,512]},'
    return edited(lambda text: b'{"' + second + b'"' + line + text[1:])


def with_escape(text: bytes) -> bytes:
    """The first name with its "a" written as an escape: the same name."""
    return text.replace(b'"transformer.wte', b'"tr\\u0061nsformer.wte', 1)


LENGTHS = [
    Case(58, f"header of {what}", make, code, says) for what, make, code, says in (
        ("0 bytes", file(length=0), 4, "header says it has 0 bytes"),
        ("1 byte", file(length=1), 4, "header says it has 1 bytes"),
        ("all of the file", lambda folder: place(
            folder, struct.pack("<Q", 992) + b"{" + b" " * 991), 4, "header"),
        ("one byte more than the file", lambda folder: place(
            folder, struct.pack("<Q", 993) + b"{" + b" " * 991), 4, "header says it has 993"),
        ("2^63 bytes", file(length=1 << 63), 4, "9223372036854775808 bytes"),
        ("100,000,001 bytes", sparse(100_000_001, 100_000_100), 6, "at most 100000000"),
        ("invalid UTF-8", edited(lambda t: t.replace(b"wte", b"w\xFFe", 1)), 4, "not UTF-8"),
        ("a space in front", edited(lambda t: b" " + t), 4, "does not begin with"),
        ("a list", file(header=b"[1,2,3,4,5,6]"), 4, "no checkpoint"),
        ("half of the text", edited(lambda t: t[:len(t) // 2]), 4, "header"),
    )
] + [
    Case(58, "trailing spaces", edited(lambda t: t + b" " * 100), 0, same_as=good),
    Case(58, "no tensors", file(header=b'{"__metadata__":{"format":"pt"}}'), 4,
         "follow the last tensor"),
]

LAYOUT = [
    Case(59, "the lines in another order", file(change=swap_order), 0, same_as=good),
    Case(59, "the same as torch", good, 0, same_as=torch),
    Case(59, "a hole", file(change=shift(4), tail=b"1234"), 4, "belong to no tensor"),
    Case(59, "an overlap", file(change=shift(-4)), 4, "overlap"),
    Case(59, "an end past the file", file(change=shift(1 << 40)), 4, "ends at byte"),
    Case(59, "an end at 2^53", first(data_offsets=[0, 1 << 53]), 4, "tensor"),
    Case(59, "trailing bytes", file(tail=b"x"), 4, "1 bytes follow"),
    Case(59, "begin behind end", first(data_offsets=[512, 0]), 4, "ends before it begins"),
    Case(59, "a shape that overflows", first(shape=[1 << 40, 1 << 40]), 4, "be counted"),
    Case(59, "the wrong number of bytes", first(shape=[16, 9]), 4, "512 bytes of data"),
    Case(59, "nine dimensions", first(shape=[1, 1, 1, 1, 1, 1, 1, 16, 8]), 4, "9 dimensions"),
    Case(59, "three offsets", first(data_offsets=[0, 512, 512]), 4, "no two whole numbers"),
    Case(59, "a key that is not known", first(stride=[8, 1]), 4, "more than dtype"),
    Case(59, "no dtype", first_text(b'"dtype":"F32",', b""), 4, "lacks one of"),
    Case(59, "an unknown dtype that is needed", first(dtype="F99"), 3, "dtype is not known"),
    Case(59, "a dtype of 4 bits that is needed", first(dtype="F4", shape=[16, 64]), 3, "F4"),
    Case(59, "an unknown dtype that is not needed",
         extra("transformer.h.0.attn.masked_bias", "F99", [3], b"123"), 0, same_as=good),
    Case(59, "a name with escape codes", extra("\x1B[31mred", "U8", [3], b"123"), 4,
         "not printable"),
    Case(59, "an empty name", extra("", "U8", [3], b"123"), 4, "0 bytes"),
    Case(59, "a name of 513 bytes", extra("n" * 513, "U8", [3], b"123"), 4, "513 bytes"),
]

JSON = [
    Case(60, "a name twice", twice(FIRST.encode()), 4, "header"),
    Case(60, "a name twice, once escaped", twice(b"tr\\u0061nsformer.wte.weight"), 4, "header"),
    Case(60, "a name with an escape", edited(with_escape), 0, same_as=good),
    Case(60, "a key twice", first_text(b'"dtype":"F32"', b'"dtype":"F32","dtype":"F32"'), 4,
         "header"),
    Case(60, "nesting of 10000", deep, 4, "nested too deep"),
    *[Case(60, f"the number {number}",
           first_text(b"[16,8]", b"[" + number.encode() + b",8]"), 4,
           "the safetensors header" if number == "016" else "whole number")
      for number in ("1e3", "1.6e1", "-0", "-16", "1.0", "16.0", "+16", "016", "0x10", "1_6",
                     "18446744073709551616", "9007199254740993", "NaN", "Infinity", "true", "null",
                     '"16"')],
    Case(60, "a comma too many", edited(lambda t: t[:-1] + b",}"), 4, "header"),
    Case(60, "a second document", edited(lambda t: t + b"{}"), 4, "header"),
    Case(60, "a comment", edited(lambda t: t[:-1] + b"/* */}"), 4, "header"),
    Case(60, "a NUL", edited(lambda t: t + b"\0"), 4, "header"),
    Case(60, "a lone surrogate", edited(lambda t: t.replace(b"wte", b"\\ud800", 1)), 4, "header"),
    Case(60, "metadata that is no text", file(metadata={"n": 1}), 4, "only strings"),
    *[Case(60, f"written for {name}", file(metadata={"format": name}), 3, f'"{name}"')
      for name in ("TF", "flax", "mlx", "np")],
    Case(60, "no format", file(metadata={"by": "hand"}), 0, same_as=good),
    Case(61, "data at an odd byte", odd_start, 0, same_as=good),
]

CASES = LENGTHS + LAYOUT + JSON
