"""The stream that torch wrote before 1.6: pickles one after another, then the storages. Numbers
33, 34 and 35 of docs/refusals.md, and those of 36 to 52 that this container alone has.
"""
import pickle
import struct
from pathlib import Path

import make_torch as mt
from hostile import Case

TENSORS = mt.state_dict()
KEYS = sorted(mt.write_pickle(TENSORS, stream=True)[1])
PIECES = mt.Stream(TENSORS).pickles()
NAMES = ["magic number", "version", "system", "objects", "list"]
WHOLE = mt.Stream(TENSORS).bytes()


def stream(tensors=TENSORS, **parts):
    def make(folder: Path) -> list:
        mt.write_config(folder / "config.json")
        mt.write_stream(folder / "pytorch_model.bin", tensors, **parts)
        return [folder]

    return make


def raw(data):
    def make(folder: Path) -> list:
        mt.write_config(folder / "config.json")
        (folder / "pytorch_model.bin").write_bytes(data() if callable(data) else data)
        return [folder]

    return make


def zipped(folder: Path) -> list:
    mt.write_config(folder / "config.json")
    mt.write_zip(folder / "pytorch_model.bin", TENSORS)
    return [folder]


def accept(number, name, make, says="", **more):
    return Case(number, name, make, 0, says, same_as=zipped, **more)


def refuse(number, name, make, code, says, **more):
    return Case(number, name, make, code, says, **more)


def with_system(**fields):
    system = {k: v for k, v in {**mt.SYSTEM, **fields}.items() if v is not ...}
    return stream(system=system)


def little_on_big():
    """As torch wrote on a big-endian machine in its last years: it says so, and did not."""
    return with_system(little_endian=False)


def view(start, length, shape=(8,), offset=0, key="900", base=None):
    """One bias as a part of a storage that holds more, as torch before 0.4 wrote."""
    name = "transformer.ln_f.bias"
    data = TENSORS[name][2]
    storage = mt.Storage(b"\x11" * 16 + data + b"\x22" * 8, view=(key, start, length))
    if base is not None:
        storage.view = base
    return stream({**TENSORS, name: mt.View(storage, shape, offset=offset)})


def cut(at):
    return raw(WHOLE[:at])


def cuts():
    """After every pickle, within each, around the first storage's number, and in the last one."""
    at = 0
    for name, piece in zip(NAMES, PIECES):
        yield f"in the {name}", at + max(len(piece) // 2, 15 if at == 0 else 1)
        at += len(piece)
        yield f"behind the {name}", at
    yield "in the first number", at + 7
    yield "behind the first number", at + 8
    yield "in the first storage", at + 9
    yield "one byte short", len(WHOLE) - 1


def swapped_keys():
    keys = list(KEYS)
    keys[0], keys[1] = keys[1], keys[0]
    return keys


def objects(code: bytes):
    return stream(objects=PIECES[3][:-1] + code + b".")


def gadget(module, name):
    return f"c{module}\n{name}\n".encode() + b"X\x05\0\0\0touch\x85R0"


def nine_keys():
    """More storages than one digit numbers, so that the order of text is not that of numbers."""
    return {**TENSORS, **{f"pad.{i}": ("float32", (1,), struct.pack("<f", i)) for i in range(12)}}


def module_pickle():
    """torch.save(model): a class comes by a persistent id of its own, with its source."""
    return (b"\x80\x02(X\x06\0\0\0modulectorch.nn.modules.linear\nLinear\nX\x09\0\0\0linear.py"
            b"X\x0b\0\0\0import eviltQ)\x81}(X\x0b\0\0\0_parameters}X\x08\0\0\0_modules}ub.")


def grown(objects_bytes):
    """A value beside the tensors, so that the pickle of objects is longer than one read."""
    return {**TENSORS, "note": "x" * objects_bytes}


def odd_name():
    return {**TENSORS, "a\x1b[31mb": TENSORS["transformer.ln_f.bias"]}


def huge(op: bytes, length: bytes):
    return raw(b"".join(PIECES[:3]) + b"\x80\x02" + op + length + WHOLE[:200])


FIRST = KEYS[0]

CASES = [
    accept(33, f"protocol {p}", stream(protocol=p)) for p in (2, 3, 4, 5)
] + [
    accept(33, "little-endian, big-endian machine", little_on_big()),
    accept(33, "system without a byte order", with_system(little_endian=...)),
    accept(33, "other sizes of types", with_system(type_sizes={"short": 8})),
    Case(28, "big-endian", stream(system={**mt.SYSTEM, "little_endian": False}, big=True), 0,
         same_as=zipped),
    accept(33, "a view of a storage", view(4, 8)),
    accept(33, "a view with an offset", view(2, 10, offset=2)),
    accept(33, "objects of 300 KB", stream(grown(300_000)), "\"note\" is skipped"),
    Case(33, "a dozen storages more", stream(nine_keys()), 0, options=("--allow-unused", "^pad"),
         check=None),
    refuse(33, "wrong magic number", stream(magic=mt.MAGIC + 1), 4, "magic number"),
    refuse(33, "magic number of another length", stream(magic=5), 3, "bare pickle"),
    refuse(33, "protocol 1", raw(pickle.dumps(mt.MAGIC, 1) + WHOLE[15:]), 3, "protocol 0 or 1"),
    refuse(33, "version 1002", stream(version=1002), 4, "version of the stream"),
    refuse(33, "version true", stream(version=True), 4, "version of the stream"),
    refuse(33, "version is text", stream(version="1001"), 4, "version of the stream"),
    refuse(33, "system is a list", stream(system=[1001]), 4, "no map"),
    refuse(33, "byte order is a number", with_system(little_endian=1), 4, "no boolean"),
    refuse(33, "big-endian without saying so", stream(big=True), 4, "in front of its data"),
    refuse(33, "keys in another order", stream(keys=swapped_keys()), 4, "not sorted"),
    refuse(33, "a key twice", stream(keys=KEYS[:2] + KEYS[1:]), 4, "names \"1\" twice"),
    refuse(33, "a key is missing", stream(keys=KEYS[1:]), 4, "elements"),
    refuse(33, "no keys", stream(keys=[], tail=b""), 4, "is not in the list"),
    refuse(33, "a key that nothing names", stream(keys=sorted(KEYS + ["77777"])), 4,
           "no tensor does"),
    refuse(33, "a key of letters", stream(keys=sorted(KEYS + ["abc"])), 4, "no tensor does"),
    refuse(33, "a key is a number", stream(keys=[int(KEYS[0]), *KEYS[1:]]), 4, "is an integer"),
    refuse(33, "keys are a tuple", stream(keys=tuple(KEYS)), 4, "is a tuple"),
    refuse(33, "wrong number of elements", stream(counts={FIRST: 1}), 4, "in front of its data"),
    refuse(33, "number of elements 2^63", stream(counts={FIRST: 1 << 63}), 4,
           "in front of its data"),
    refuse(33, "bytes behind the last storage", stream(tail=b"x"), 4, "1 bytes follow"),
    refuse(33, "a whole model", stream(objects=module_pickle()), 3, "a whole model"),
    refuse(33, "a view past its base", view(4, 11), 4, "past the end of its base"),
    refuse(33, "a view that starts at 2^62", view(1 << 62, 1 << 62), 4, "past the end of its base"),
    refuse(33, "a tensor past its view", view(4, 7), 4, "past the end of its view"),
    refuse(33, "a view of negative length", view(4, -8), 4, "not (key, offset, elements)"),
    refuse(33, "a view that is a list of two", view(0, 0, base=["9", 1]), 4,
           "not (key, offset, elements)"),
    refuse(33, "a persistent id of an archive",
           stream(objects=mt.write_pickle(TENSORS)[0]), 4, "(class, key, place, elements, view)"),
    refuse(33, "a persistent id of a stream in an archive", lambda folder: [
        mt.write_zip(folder / "model.bin", TENSORS, pickled=mt.write_pickle(TENSORS, stream=True))],
        4, "(class, key, place, elements)"),
    refuse(33, "a storage of 2^62 elements", stream(
        {**TENSORS, "x": mt.View(mt.Storage(b"", numel=1 << 62), (1,))}), 4, "too many elements"),
    refuse(33, "a storage longer than the file", stream(
        {**TENSORS, "x": mt.View(mt.Storage(b"", numel=1 << 40, key="9999"), (1,))},
        counts={"9999": 1 << 40}), 4, "in the middle of storage 9999"),
    refuse(49, "a tensor past its storage", stream(
        {**TENSORS, "x": mt.View(mt.Storage(b"\0" * 16), (5,))}), 4, "past the end"),
    refuse(53, "a storage of two classes", stream(
        {**TENSORS, "x": mt.View(mt.Storage(b"\0" * 16, key="88"), (4,)),
         "y": mt.View(mt.Storage(b"\0" * 16, "int32", key="88"), (4,))}), 4, "FloatStorage"),
    refuse(35, "os.system before the tensors are used", objects(gadget("os", "system")), 4,
           "os.system"),
    refuse(35, "a gadget in the list of keys", raw(
        b"".join(PIECES[:4]) + b"\x80\x02cposix\nsystem\nX\x01\0\0\0x\x85R."), 4, "posix.system"),
    refuse(35, "a gadget in the system", raw(
        b"".join(PIECES[:2]) + b"\x80\x02cbuiltins\neval\nX\x01\0\0\0x\x85R."), 4, "builtins.eval"),
    refuse(38, "a string of 2^32 bytes", huge(b"X", b"\xff\xff\xff\xff"), 4, "remain"),
    refuse(38, "a string of 2^63 bytes", huge(b"\x8d", b"\xff" * 7 + b"\x7f"), 4, "remain"),
    refuse(38, "a frame of 2^63 bytes", huge(b"\x95", b"\xff" * 7 + b"\x7f"), 4, "remain"),
    refuse(42, "objects without an end", raw(b"".join(PIECES[:3]) + b"\x80\x02" + b"N0" * 200_000),
           4, "without STOP"),
    refuse(41, "objects of 65 MiB", raw(
        lambda: b"".join(PIECES[:3]) + b"\x80\x02" + b"N0" * (33 << 20) + b"N."), 6, "more than"),
    refuse(41, "a version of 70 KB", raw(PIECES[0] + b"\x80\x02" + b"N0" * 35_000 + b"N."), 6,
           "the version at byte 15"),
    refuse(45, "an escape in a name", stream(odd_name()), 4, "not printable"),
] + [
    refuse(33, f"cut {name}", cut(at), 4, "") for name, at in cuts()
]
