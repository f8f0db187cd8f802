"""tf_model.h5: numbers 70 and 71 of docs/refusals.md. Needs h5py."""
import sys
import tempfile
from pathlib import Path

import h5py
import make_torch as mt
import numpy
from hostile import Case

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "fixtures"))
import keras  # noqa: E402

STATE = mt.state_dict()
ARRAYS = {name: numpy.frombuffer(data, "<f4").reshape(shape)
          for name, (_, shape, data) in STATE.items()}
NAME = "tf_model.h5"
CLASS = "TFGPT2LMHeadModel"
BLOCK = "transformer/" + keras.snake(CLASS) + "/transformer"
WTE, WPE = f"{BLOCK}/wte/weight:0", f"{BLOCK}/wpe/embeddings:0"


def h5(change=None, **how):
    def make(folder: Path) -> list:
        mt.write_config(folder / "config.json")
        keras.write(folder / NAME, CLASS, ARRAYS,
                    change=(lambda file: change(file, folder)) if change else None, **how)
        return [folder]

    return make


def spoiled(spoil, **how):
    """spoil(bytes) -> bytes of the finished file."""

    def make(folder: Path) -> list:
        operands = h5(**how)(folder)
        path = folder / NAME
        path.write_bytes(spoil(path.read_bytes()))
        return operands

    return make


def whole(folder: Path) -> list:
    mt.write_config(folder / "config.json")
    mt.write_zip(folder / "pytorch_model.bin", STATE)
    return [folder]


def accept(name, make, says="", **more):
    return Case(70, name, make, 0, says, same_as=whole, **more)


def refuse(name, make, code, says, **more):
    return Case(70, name, make, code, says, **more)


def replace(path, **how):
    """The dataset made anew in another way; `data` as it was unless `shape` says otherwise."""

    def change(file, folder):
        data = file[path][()]
        del file[path]
        if "shape" in how:
            file.create_dataset(path, **how)
        else:
            file.create_dataset(path, **{"data": data, **how})

    return change


def external(file, folder):
    (folder / "secret").write_bytes(bytes(64 * 1024))
    replace(WPE, shape=(8, 8), dtype="<f4", external=[(str(folder / "secret"), 0, 256)])(file, folder)


def virtual(file, folder):
    layout = h5py.VirtualLayout(shape=(8, 8), dtype="<f4")
    layout[:] = h5py.VirtualSource(str(folder / "other.h5"), "x", shape=(8, 8))
    del file[WPE]
    file.create_virtual_dataset(WPE, layout)


def linked(link, path="extra"):
    def change(file, folder):
        if path in file:
            del file[path]
        file[path] = link

    return change


def cycle(file, folder):
    file[f"{BLOCK}/again"] = file["transformer"]


def deep(levels):
    def change(file, folder):
        group = file
        for _ in range(levels):
            group = group.create_group("g")

    return change


def late(shape, **how):
    """Never written: no byte of it is in the file."""

    def change(file, folder):
        space = h5py.h5s.create_simple(shape)
        create = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        create.set_alloc_time(h5py.h5d.ALLOC_TIME_LATE)
        if "chunks" in how:
            create.set_chunk(how["chunks"])
        del file[WPE]
        h5py.h5d.create(file.id, WPE.encode(), h5py.h5t.IEEE_F32LE, space, create)

    return change


def compact(file, folder):
    data = file[WPE][()]
    create = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    create.set_layout(h5py.h5d.COMPACT)
    del file[WPE]
    made = h5py.h5d.create(file.id, WPE.encode(), h5py.h5t.IEEE_F32LE,
                           h5py.h5s.create_simple((8, 8)), create)
    made.write(h5py.h5s.ALL, h5py.h5s.ALL, data)


def attribute(path, name, value):
    def change(file, folder):
        file[path].attrs[name] = value

    return change


def removed(path, name):
    def change(file, folder):
        del file[path].attrs[name]

    return change


def weight_names(value):
    return attribute("transformer", "weight_names", value)


def typed(path, kind):
    """The dataset in another type of HDF5 itself."""

    def change(file, folder):
        data = file[path][()].astype("<f4")
        del file[path]
        made = h5py.h5d.create(file.id, path.encode(), kind, h5py.h5s.create_simple(data.shape))
        made.write(h5py.h5s.ALL, h5py.h5s.ALL, data)

    return change


def brain():
    """bfloat16, which is as long as half."""
    kind = h5py.h5t.IEEE_F32LE.copy()
    kind.set_fields(15, 7, 8, 0, 7)
    kind.set_size(2)
    kind.set_ebias(127)
    return kind


def padded(file, folder):
    """The list of weights as Fortran would have it: blanks behind the names."""
    group = file["transformer"]
    names = [name if isinstance(name, bytes) else name.encode()
             for name in group.attrs["weight_names"]]
    width = max(map(len, names)) + 3
    kind = h5py.h5t.C_S1.copy()
    kind.set_size(width)
    kind.set_strpad(h5py.h5t.STR_SPACEPAD)
    del group.attrs["weight_names"]
    made = h5py.h5a.create(group.id, b"weight_names", kind, h5py.h5s.create_simple((len(names),)))
    made.write(numpy.array([name.ljust(width) for name in names], f"S{width}"), mtype=kind)


def many_links(file, folder):
    """One dataset by 101,000 names."""
    many = file.create_group("many").id
    for i in range(101_000):
        many.links.create_hard(b"%d" % i, file.id, WPE.encode())


def twice(differ):
    """A variable that two layers list, each with a dataset of its own."""

    def change(file, folder):
        name = f"{keras.snake(CLASS)}/transformer/wpe/embeddings:0"
        data = file[WPE][()]
        data[0, 0] += 1.0 if differ else 0.0
        file.create_group("second")
        file["second"].attrs["weight_names"] = keras.strings([name], False)
        file["second"].create_dataset(name, data=data)
        layers = [v if isinstance(v, str) else v.decode() for v in file.attrs["layer_names"]]
        file.attrs["layer_names"] = keras.strings([*layers, "second"], False)

    return change


def good_bytes():
    with tempfile.TemporaryDirectory() as folder:
        return keras.write(Path(folder) / NAME, CLASS, ARRAYS).read_bytes()


GOOD = good_bytes()


def cut(at):
    return spoiled(lambda data: data[:at])


def flipped(at, value):
    return spoiled(lambda data: data[:at] + bytes([value]) + data[at + 1:])


CASES = [
    accept("strings of any length", h5()),
    accept("strings of one length", h5(fixed=True)),
    accept("weight_names in three pieces", h5(pieces=3)),
    accept("... of one length", h5(pieces=3, fixed=True)),
    accept("a block of the user's in front", h5(userblock=1024)),
    accept("big-endian floats", h5(replace(WTE, dtype=">f4"))),
    Case(70, "halves", h5(typed(WTE, h5py.h5t.IEEE_F16LE)), 0),
    refuse("bfloat16, which HDF5 does not name", h5(typed(WTE, brain())), 3, "no IEEE"),
    accept("blanks behind names", h5(padded)),
    accept("2,000 groups", h5(lambda file, folder: [
        file.create_group(f"more/{i}") for i in range(2000)])),
    refuse("a name of a group of 1,100 bytes",
           h5(lambda file, folder: file.create_group("g" * 1100)), 6, "more than 1024 bytes"),
    refuse("100,001 names", h5(weight_names(numpy.full(100001, b"n", "S1")), libver="latest"), 6,
           "more than 100000 names"),
    refuse("17 MB of names", h5(weight_names(numpy.full(300, b"n", "S60000")), libver="latest"), 6,
           "more than 16777216 bytes"),
    accept("a dataset that no layer lists",
           h5(lambda file, folder: file.create_dataset("optimizer/x", data=[1.0])), "skipped"),
    accept("a variable of two layers", h5(twice(False))),
    accept("the file by itself", lambda folder: [h5()(folder)[0] / NAME]),
    refuse("a variable of two layers that differs", h5(twice(True)), 4, "twice, and not the same"),
    refuse("external storage", h5(external), 4, "in another file"),
    refuse("a virtual dataset", h5(virtual), 4, "virtual"),
    refuse("a soft link", h5(linked(h5py.SoftLink("/transformer"))), 4, "leads elsewhere"),
    refuse("a soft link to nothing", h5(linked(h5py.SoftLink("/nothing"))), 4, "leads elsewhere"),
    refuse("a soft link in a weight's place", h5(linked(h5py.SoftLink("/x"), WPE)), 4,
           "leads elsewhere"),
    refuse("an external link", h5(linked(h5py.ExternalLink("/etc/passwd", "/"))), 4,
           "leads elsewhere"),
    refuse("an external link in a weight's place", h5(linked(h5py.ExternalLink("o.h5", "/"), WPE)),
           4, "leads elsewhere"),
    refuse("a group in itself", h5(cycle), 4, "in itself"),
    refuse("33 groups in each other", h5(deep(33)), 6, "32 deep"),
    accept("32 groups in each other", h5(deep(32)), ""),
    refuse("5,000 groups in each other", h5(deep(5000)), 6, "32 deep"),
    refuse("101,000 links", h5(many_links), 6, "100000 objects", seconds=60.0),
    refuse("4 TiB in chunks that are not there", h5(late((1 << 20, 1 << 20), chunks=(1024, 1024))),
           3, "in chunks"),
    refuse("4 GiB that were never written", h5(late((1 << 15, 1 << 15))), 3, "never written"),
    refuse("256 bytes that were never written", h5(late((8, 8))), 3, "never written"),
    refuse("chunks", h5(replace(WPE, chunks=(8, 8))), 3, "in chunks"),
    refuse("compressed chunks", h5(replace(WPE, compression="gzip")), 3, "in chunks"),
    refuse("compact data", h5(compact), 3, "compact"),
    refuse("a compound type", h5(replace(WPE, data=numpy.ones((8, 8), [("a", "<f4")]))), 3, "no IEEE"),
    refuse("strings as data", h5(replace(WPE, data=numpy.ones(64, "S4"))), 3, "no IEEE"),
    refuse("strings of any length as data",
           h5(replace(WPE, shape=(64,), dtype=h5py.string_dtype())), 3, ""),
    refuse("references", h5(replace(WPE, shape=(8, 8), dtype=h5py.ref_dtype)), 3, ""),
    refuse("booleans", h5(replace(WPE, data=numpy.ones((8, 8), bool))), 3, "no IEEE"),
    refuse("integers", h5(replace(WPE, data=numpy.ones((8, 8), "<i4"))), 3, ""),
    refuse("nine dimensions", h5(replace(WPE, data=numpy.ones((1,) * 9, "<f4"))), 3, "dimensions"),
    refuse("no shape", h5(replace(WPE, data=h5py.Empty("<f4"))), 3, ""),
    refuse("another shape", h5(replace(WPE, data=numpy.ones((8, 9), "<f4"))), 4, "(8, 9)"),
    refuse("no layer_names", h5(removed("/", "layer_names")), 3, "layer_names"),
    refuse("layer_names of numbers", h5(attribute("/", "layer_names", numpy.arange(3))), 4,
           "no list of strings"),
    refuse("no weights are listed", h5(removed("transformer", "weight_names")), 3, "no tensors"),
    refuse("a weight that is not there", h5(weight_names(keras.strings(["a/b/c:0"], False))), 4,
           "no such dataset"),
    refuse("a weight above the layer",
           h5(weight_names(keras.strings(["../transformer/x:0"], False))), 4, "no such dataset"),
    refuse("a name of 600 bytes", h5(weight_names(keras.strings(["n" * 600], False))), 4,
           "longer than 512"),
    refuse("a name of 600 bytes, of one length", h5(weight_names(keras.strings(["n" * 600], True))),
           4, "longer than 512"),
    refuse("an escape in a name", h5(weight_names(keras.strings(["a\x1b[31m/b"], False))), 4,
           "no such dataset"),
    refuse("a name of 65,000 bytes that is empty", h5(weight_names(numpy.array([b""], "S65000"))),
           4, "no such dataset"),
    refuse("a whole Keras model", h5(lambda file, folder: (
        file.attrs.__delitem__("layer_names"), file.create_group("model_weights"))), 3,
        "layer_names"),
    refuse("an index of several", lambda folder: [
        (folder / "tf_model.h5.index.json").write_text('{"metadata":{},"weight_map":{}}') and folder],
        3, "several files"),
    refuse("superblock of a later version", flipped(8, 9), 4, "damaged"),
    refuse("root group elsewhere", spoiled(lambda d: d[:64] + b"\xf0" * 8 + d[72:]), 4, ""),
    refuse("bytes cut off by one", cut(len(GOOD) - 1), 4, ""),
    Case(70, "bytes behind the end", spoiled(lambda d: d + b"x" * 100), 0, same_as=whole),
    Case(71, "safetensors go before", lambda folder: [
        h5(twice(True))(folder)[0], mt.write_safetensors(folder / "model.safetensors", STATE)][:1],
        0, "tf_model.h5 beside it is not", same_as=whole),
    Case(71, "... unless it is chosen", lambda folder: [
        h5()(folder)[0], (folder / "pytorch_model.bin").write_bytes(b"junk")][:1],
        0, options=("--weights", NAME), same_as=lambda folder: [
            mt.write_config(folder / "config.json").parent,
            mt.write_zip(folder / NAME, STATE)][:1]),
] + [
    refuse(f"cut at {part} of 40", cut(len(GOOD) * part // 40), 4, "") for part in range(1, 40)
]
