#!/usr/bin/python3
"""The promise about memory: a checkpoint is converted under RLIMIT_DATA of twice its largest tensor
+ 64 MiB + 16 x the size of its pickle, whatever the container (needs EET_BIN and 12 GB in TMPDIR).

The checkpoints are full of zeros, written as sparse files: an archive of torch of 4 GiB, and 1.1 GiB
in a stream of before 1.6 (behind 3.5 GiB that nobody needs), in safetensors and in tf_model.h5, where
BERT's matrices are turned.
"""
import json
import os
import resource
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from pathlib import Path

import h5py

sys.path.insert(0, str(Path(__file__).parent.parent / "hostile"))
import make_torch as mt  # noqa: E402

BIN = Path(os.environ["EET_BIN"])
MIB = 1 << 20
SMALL = 22  # layers of the models that are not the archive's
CONFIG = {"n_embd": 1024, "n_head": 16, "n_layer": 85, "vocab_size": 8192, "n_positions": 1024}
WIDTH, INNER = 1024, 4096


def shapes(layers=CONFIG["n_layer"]):
    yield "wte.weight", (CONFIG["vocab_size"], WIDTH)
    yield "wpe.weight", (CONFIG["n_positions"], WIDTH)
    for i in range(layers):
        for name, shape in (("ln_1", (WIDTH,)), ("attn.c_attn", (WIDTH, 3 * WIDTH)),
                            ("attn.c_proj", (WIDTH, WIDTH)), ("ln_2", (WIDTH,)),
                            ("mlp.c_fc", (WIDTH, INNER)), ("mlp.c_proj", (INNER, WIDTH))):
            yield f"h.{i}.{name}.weight", shape
            yield f"h.{i}.{name}.bias", shape[-1:]
    yield "ln_f.weight", (WIDTH,)
    yield "ln_f.bias", (WIDTH,)


class Zeros(mt.Storage):
    """A storage of zeros that are not there."""

    def __init__(self, count):
        super().__init__(b"", numel=count)


def crc_of_zeros(count: int, known={}) -> int:
    if count not in known:
        crc = 0
        for _ in range(count // MIB):
            crc = zlib.crc32(bytes(MIB), crc)
        known[count] = zlib.crc32(bytes(count % MIB), crc)
    return known[count]


def write_sparse_zip(path: Path, members) -> None:
    """members: (name, bytes or the number of zeros); stored, aligned to 64, zip64 at the end."""
    directory = bytearray()
    count = 0
    with open(path, "wb") as out:
        for name, data in members:
            raw = name.encode()
            size = data if isinstance(data, int) else len(data)
            crc = crc_of_zeros(data) if isinstance(data, int) else zlib.crc32(data)
            at = out.tell()
            extra = b""
            if isinstance(data, int):
                pad = -(at + 30 + len(raw) + 4) % 64
                extra = b"FB" + struct.pack("<H", pad) + b"Z" * pad
            fields = (0x0800, 0, 0, 0, crc, size, size, len(raw))
            out.write(struct.pack("<IHHHHHIIIHH", 0x04034B50, 0, *fields, len(extra)) + raw + extra)
            if isinstance(data, int):
                out.seek(size, os.SEEK_CUR)
            else:
                out.write(data)
            wide = struct.pack("<HHQ", 1, 8, at) if at >= 0xFFFFFFFF else b""
            directory += struct.pack("<IHHHHHHIIIHHHHHII", 0x02014B50, 0, 0, *fields, len(wide), 0,
                                     0, 0, 0, min(at, 0xFFFFFFFF)) + raw + wide
            count += 1
        start = out.tell()
        out.write(directory)
        end = out.tell()
        out.write(struct.pack("<IQHHIIQQQQ", 0x06064B50, 44, 0x1E, 45, 0, 0, count, count,
                              len(directory), start))
        out.write(struct.pack("<IIQI", 0x07064B50, 0, end, 1))
        out.write(struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, count, count, len(directory),
                              min(start, 0xFFFFFFFF), 0))


def make_checkpoint(folder: Path):
    """Returns the largest tensor's bytes and the size of data.pkl."""
    tensors = {name: mt.View(Zeros(mt.product(shape)), shape) for name, shape in shapes()}
    pickled, storages = mt.write_pickle(tensors)
    members = [("archive/data.pkl", pickled), ("archive/byteorder", b"little")]
    members += [(f"archive/data/{key}", 4 * storage.numel) for key, storage in storages.items()]
    members.append(("archive/version", b"3\n"))
    write_sparse_zip(folder / "pytorch_model.bin", members)
    mt.write_config(folder / "config.json", **CONFIG)
    return max(4 * storage.numel for storage in storages.values()), len(pickled)


def make_stream(folder: Path):
    """A stream whose first storage is 3.5 GiB that are left over; key "0" sorts first."""
    tensors = {"pad": mt.View(Zeros(7 << 27), (7 << 27,))}
    tensors |= {name: mt.View(Zeros(mt.product(shape)), shape) for name, shape in shapes(SMALL)}
    stream = mt.Stream(tensors)
    pickles = stream.pickles()
    with open(folder / "pytorch_model.bin", "wb") as out:
        out.write(b"".join(pickles))
        for key in sorted(stream.storages):
            out.write(struct.pack("<q", stream.storages[key].numel))
            out.seek(4 * stream.storages[key].numel, os.SEEK_CUR)
        out.truncate()
    mt.write_config(folder / "config.json", **{**CONFIG, "n_layer": SMALL})
    largest = max(4 * s.numel for key, s in stream.storages.items() if key != "0")
    return largest, len(pickles[3])


def make_safetensors(folder: Path):
    table, at = {}, 0
    for name, shape in shapes(SMALL):
        table[name] = {"dtype": "F32", "shape": shape,
                       "data_offsets": [at, at + 4 * mt.product(shape)]}
        at += 4 * mt.product(shape)
    header = json.dumps(table).encode()
    with open(folder / "model.safetensors", "wb") as out:
        out.write(struct.pack("<Q", len(header)) + header)
        out.truncate(8 + len(header) + at)
    mt.write_config(folder / "config.json", **{**CONFIG, "n_layer": SMALL})
    return max(4 * mt.product(shape) for _, shape in shapes(SMALL)), 0


def bert_shapes():
    """Keras' names and shapes of a BERT; matrices are [in, out]."""
    yield "embeddings/word_embeddings/weight:0", (8192, WIDTH)
    yield "embeddings/position_embeddings/embeddings:0", (512, WIDTH)
    yield "embeddings/token_type_embeddings/embeddings:0", (2, WIDTH)
    norms = ["embeddings/LayerNorm"]
    dense = [("pooler/dense", (WIDTH, WIDTH))]
    for i in range(SMALL):
        layer = f"encoder/layer_._{i}"
        dense += [(f"{layer}/attention/self/{part}", (WIDTH, WIDTH))
                  for part in ("query", "key", "value")]
        dense += [(f"{layer}/attention/output/dense", (WIDTH, WIDTH)),
                  (f"{layer}/intermediate/dense", (WIDTH, INNER)),
                  (f"{layer}/output/dense", (INNER, WIDTH))]
        norms += [f"{layer}/attention/output/LayerNorm", f"{layer}/output/LayerNorm"]
    for name, shape in dense:
        yield f"{name}/kernel:0", shape
        yield f"{name}/bias:0", shape[1:]
    for name in norms:
        yield f"{name}/gamma:0", (WIDTH,)
        yield f"{name}/beta:0", (WIDTH,)


def make_h5(folder: Path):
    create = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    create.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    create.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    parents = h5py.h5p.create(h5py.h5p.LINK_CREATE)
    parents.set_create_intermediate_group(True)
    shaped = {f"tf_bert_model/bert/{name}": shape for name, shape in bert_shapes()}
    with h5py.File(folder / "tf_model.h5", "w") as file:
        file.attrs["layer_names"] = [b"bert"]
        group = file.create_group("bert")
        group.attrs["weight_names"] = [name.encode() for name in shaped]
        for name, shape in shaped.items():
            h5py.h5d.create(group.id, name.encode(), h5py.h5t.IEEE_F32LE,
                            h5py.h5s.create_simple(shape), create, parents)
    (folder / "config.json").write_text(json.dumps({
        "architectures": ["BertModel"], "model_type": "bert", "hidden_size": WIDTH,
        "intermediate_size": INNER, "num_hidden_layers": SMALL, "num_attention_heads": 16,
        "vocab_size": 8192, "max_position_embeddings": 512, "type_vocab_size": 2}))
    return max(4 * mt.product(shape) for shape in shaped.values()), 0


# name -> what makes it, bytes it is more than, more options
CONTAINERS = {
    "archive": (make_checkpoint, 4 << 30, ()),
    "stream": (make_stream, 4 << 30, ("--allow-unused", "^pad$")),
    "safetensors": (make_safetensors, 1 << 30, ()),
    "h5": (make_h5, 1 << 30, ()),
}


def convert(name: str, folder: Path) -> bool:
    make, least, options = CONTAINERS[name]
    largest, pickled = make(folder)
    limit = 2 * largest + 64 * MIB + 16 * pickled
    size = sum(file.stat().st_size for file in folder.iterdir())
    start = time.monotonic()
    done = subprocess.run(
        [BIN / "eet-convert", folder, "-o", folder / "model.eet", *options], check=False, text=True,
        capture_output=True, stdin=subprocess.DEVNULL,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (limit, limit)))
    took = time.monotonic() - start
    print(f"{name}: {size / 2**30:.2f} GiB in {took:.1f} s under {limit / MIB:.0f} MiB of data "
          f"(largest tensor {largest / MIB:.0f} MiB, pickle {pickled} bytes): "
          f"exit {done.returncode} {done.stdout}{done.stderr}", flush=True)
    assert size >= least, "the checkpoint is not as large as this test means it to be"
    return done.returncode == 0


def main() -> int:
    if shutil.disk_usage(tempfile.gettempdir()).free < 12e9:
        print(f"less than 12 GB are free in {tempfile.gettempdir()}: skipped")
        return 77
    failed = 0
    for name in sys.argv[1:] or CONTAINERS:
        with tempfile.TemporaryDirectory() as folder:
            failed += 0 if convert(name, Path(folder)) else 1
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
