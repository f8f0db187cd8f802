"""Pickles that are more, or less, than a map of tensors: numbers 32 and 35 to 48 of
docs/refusals.md. Every opcode and every limit alone: tests/converter/test_pickle.c.
"""
from pathlib import Path

import make_torch as mt
from hostile import Case

TENSORS = mt.state_dict()
PICKLE, STORAGES = mt.write_pickle(TENSORS)


def place(folder: Path, tensors=TENSORS, **quirks) -> list:
    mt.write_config(folder / "config.json")
    mt.write_zip(folder / "pytorch_model.bin", tensors, **quirks)
    return [folder]


def good(folder: Path) -> list:
    return place(folder)


def written(tensors=TENSORS, **quirks):
    return lambda folder: place(folder, tensors, **quirks)


def plus(**values):
    """The good state dict and further values."""
    return written(TENSORS | values)


def pickled(data):
    """This data.pkl, beside all storages of the good one; a function makes it when needed."""
    return lambda folder: place(
        folder, pickled=(data() if callable(data) else data, STORAGES))


def after(code: bytes):
    """What the pickle does when its state dict is already on the stack."""
    return pickled(PICKLE[:-1] + code + b".")


def pairs(*items):
    """An OrderedDict as Python 2 wrote it: any keys, any number of times."""
    shared = {}
    return mt.Call("collections.OrderedDict",
                   ([[key, mt.as_call(value, shared)] for key, value in items],))


def keyed(key):
    """One key that is not as the others."""
    return written(pairs(*TENSORS.items(), (key, TENSORS["transformer.ln_f.bias"])))


def text(string: str) -> bytes:
    data = string.encode()
    return b"X" + len(data).to_bytes(4, "little") + data


def call(module: str, name: str, argument="touch evil") -> bytes:
    return f"c{module}\n{name}\n".encode() + text(argument) + b"\x85R"


def laughs() -> list:
    value = []
    for _ in range(40):
        value = [value, value]
    return value


def itself() -> dict:
    value = {"list": []}
    value["dict"] = value
    value["list"].append(value["list"])
    return value


def numbers(module: str) -> dict:
    kind = mt.Call("numpy.dtype", ("f8", False, True), (3, "<", None, None, None, -1, -1, 0))
    objects = mt.Call("numpy.dtype", ("O8", False, True), (3, "|", None, None, None, -1, -1, 63))
    array = f"{module}.multiarray._reconstruct"
    return {"best": mt.Call(f"{module}.multiarray.scalar", (kind, b"\0\0\0\0\0\0\xf4\x3f")),
            "array": mt.Call(array, (mt.Global("numpy.ndarray"), (0,), b"b"),
                             (1, (1,), kind, False, b"\0" * 8)),
            "objects": mt.Call(array, (mt.Global("numpy.ndarray"), (0,), b"b"),
                               (1, (1,), objects, False, [{"a": 1}]))}


def suspicious(name: str, code: bytes, says: str) -> Case:
    return Case(35, name, after(code), 4, says)


def malformed(number: int, name: str, code: bytes, says: str) -> Case:
    return Case(number, name, after(code), 4, says)


CASES = [
    Case(32, "protocol 0", written(protocol=0), 3, "protocol 0"),
    *[Case(32, f"protocol {n}", written(protocol=n), 0, same_as=good) for n in (1, 2, 3, 4, 5)],
    Case(32, "protocol 6", pickled(b"\x80\x06" + PICKLE[2:]), 3, "protocol 6"),

    suspicious("os.system after the state dict", call("os", "system") + b"0", "os.system"),
    suspicious("os.system before it",
               b"0" + call("os", "system") + b"0" + PICKLE[2:-1], "os.system"),
    Case(35, "os.system as a value", plus(evil=mt.Call("os.system", ("touch evil",))), 4,
         "os.system"),
    Case(35, "os.system under STACK_GLOBAL",
         written(TENSORS | {"evil": mt.Call("os.system", ("touch evil",))}, protocol=4), 4,
         "os.system"),
    suspicious("names out of the memo",
               text("os") + b"r\xf0\x01\0\0" + text("system") + b"r\xf1\x01\0\0" +
               b"00j\xf0\x01\0\0j\xf1\x01\0\0\x93" + text("touch evil") + b"\x85R0", "os.system"),
    suspicious("builtins.eval", call("builtins", "eval") + b"0", "builtins.eval"),
    suspicious("__builtin__.exec by INST", b"(" + text("1") + b"i__builtin__\nexec\n0",
               "builtins.exec"),
    suspicious("subprocess.Popen by OBJ", b"(csubprocess\nPopen\n" + text("id") + b"o0",
               "subprocess.Popen"),
    suspicious("subprocess.Popen by NEWOBJ", b"csubprocess\nPopen\n" + text("id") + b"\x85\x810",
               "subprocess.Popen"),
    suspicious("pip.main", call("pip", "main") + b"0", "pip.main"),
    suspicious("socket", call("socket", "create_connection") + b"0", "socket.create_connection"),
    suspicious("before a broken end", call("posix", "system") + b"\xff", "posix.system"),
    Case(35, "an unknown function is never called",
         plus(extra=mt.Call("torch.hub.load", ("somebody/repository", "evil"))), 0,
         '"extra" is skipped: it is torch.hub.load', same_as=good),
    Case(35, "an unknown class",
         plus(extra=mt.Call("somewhere.Thing", (), {"x": 1})), 0, "somewhere.Thing", same_as=good),
    Case(35, "an unknown function where a tensor is needed",
         written(TENSORS | {"transformer.wpe.weight": mt.Call("torch.hub.load", ("x",))}), 4,
         "transformer.wpe.weight"),

    malformed(37, "BINPUT far ahead", b"r\xff\xff\xff\xff", "LONG_BINPUT to memo 4294967295"),
    malformed(38, "BINUNICODE8 of 2^63-1", b"\x8d" + b"\xff" * 7 + b"\x7f", "BINUNICODE8 needs"),
    malformed(38, "BINBYTES8 of 2^63-1", b"\x8e" + b"\xff" * 7 + b"\x7f", "BINBYTES8 needs"),
    malformed(38, "BINUNICODE8 of one too many", b"\x8d\x02" + b"\0" * 7, "needs 2 bytes, 1 remain"),
    malformed(38, "LONG4 of 2^32-1", b"\x8b\xff\xff\xff\xff", "LONG4 needs 4294967295"),
    malformed(38, "FRAME of 2^63-1", b"\x95" + b"\xff" * 7 + b"\x7f", "FRAME of"),
    Case(39, "a million tuples, each in the next",
         after(text("deep") + b")" + b"\x85" * 1000000 + b"s"), 0, '"deep" is skipped',
         same_as=good),
    Case(39, "a million lists, each in the next",
         after(text("deep") + b"]" * 1000000 + b"a" * 999999 + b"s"), 0, '"deep" is skipped',
         same_as=good),
    Case(40, "billion laughs", plus(laughs=laughs()), 0, '"laughs" is skipped', same_as=good),
    Case(41, "100 million operations", pickled(lambda: b"\x80\x02" + b"N0" * 50000000 + b"N."), 6,
         "at most 67108864"),
    Case(41, "60 million operations", pickled(lambda: b"\x80\x02" + b"N0" * 30000000 + b"N."), 6,
         "more than 50000000 operations"),

    malformed(42, "SETITEMS on a list", b"](NNu0", "SETITEMS on a list"),
    malformed(42, "APPEND on a dict", b"}Na0", "APPEND on a dict"),
    malformed(42, "BUILD on an int", b"K\x01}b0", "BUILD on an integer"),
    malformed(42, "REDUCE with no tuple", b"cm\nn\n]R0", "REDUCE with a list"),
    malformed(42, "BINPERSID of an int", b"K\x01Q0", "BINPERSID of an integer"),
    malformed(42, "no mark", b"u", "SETITEMS without a MARK"),
    malformed(42, "odd SETITEMS", b"}(Nu0", "a key without a value"),
    malformed(42, "GET of nothing", b"j\xff\xff\0\0" b"0", "which nothing was put in"),
    malformed(42, "two values at the end", b"N", "STOP with 2 values"),
    Case(42, "no STOP", pickled(PICKLE[:-1]), 4, "ends without STOP"),
    Case(42, "bytes after STOP", pickled(PICKLE + b"\0"), 4, "1 bytes follow its end"),

    Case(43, "a map that holds itself", plus(config=itself()), 0, '"config" is skipped',
         same_as=good),
    Case(43, "a state dict that holds itself",
         after(b"r\xff\1\0\0" + text("me") + b"j\xff\1\0\0s"), 0, '"me" is skipped', same_as=good),
    Case(44, "\"model\" twice",
         written(pairs(("model", {}), ("model", {}), ("x", TENSORS["lm_head.weight"]))), 4,
         'the key "model" stands twice'),
    Case(44, "a tensor's name twice", keyed("transformer.wpe.weight"), 4,
         'the name "transformer.wpe.weight" stands twice'),
    Case(45, "a key that is an integer", keyed(7), 4, "is an integer, not a string"),
    Case(45, "a key that is bytes", written(pairs((b"x", 1), *TENSORS.items()), protocol=3), 4,
         "is bytes, not a string"),
    Case(45, "a key that is a tuple", keyed(("a", 1)), 4, "is a tuple, not a string"),
    Case(45, "a key of 10 MB", keyed("x" * 10000000), 4, "has 10000000 bytes"),
    Case(45, "a key with a new line", keyed("a\nb"), 4, r"a\x0Ab"),
    Case(45, "a key with a zero byte", keyed("a\0b"), 4, r"a\x00b"),
    Case(45, "a key with an escape sequence", keyed("\x1b[31mred"), 4, r"\x1B[31mred"),
    Case(45, "a skipped value under an escape sequence", plus(**{"\x1b[2J": 5}), 0, r"\x1B[2J",
         same_as=good),
    *[Case(46, f"values of {module}", plus(**numbers(module)), 0, '"best" is skipped',
           same_as=good) for module in ("numpy.core", "numpy._core")],
    *[Case(47, f"FLOAT {number}", after(text("f") + b"F" + number.encode() + b"\ns"), 0,
           '"f" is skipped: it is a float', same_as=good) for number in ("nan", "1e999", "-0.5")],
    malformed(47, "FLOAT with a comma", text("f") + b"F1,5\ns", "FLOAT of no number"),
    malformed(48, "EXT1", b"\x82\x01" b"0", "EXT1"),
    malformed(48, "PERSID", b"Px\n0", "PERSID"),
    malformed(48, "NEXT_BUFFER", b"\x97" b"0", "NEXT_BUFFER"),
    malformed(48, "opcode 0xFF", b"\xff", "no opcode 0xFF"),
]
