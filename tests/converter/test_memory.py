#!/usr/bin/python3
"""The promise about memory: a checkpoint of 4 GiB is converted under RLIMIT_DATA of twice its
largest tensor + 64 MiB + 16 x the size of data.pkl (needs EET_BIN and 12 GB in TMPDIR).

The checkpoint is a torch zip full of zeros, written as a sparse file.
"""
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

sys.path.insert(0, str(Path(__file__).parent.parent / "hostile"))
import make_torch as mt  # noqa: E402

BIN = Path(os.environ["EET_BIN"])
MIB = 1 << 20
CONFIG = {"n_embd": 1024, "n_head": 16, "n_layer": 85, "vocab_size": 8192, "n_positions": 1024}
WIDTH, INNER = 1024, 4096


def shapes():
    yield "wte.weight", (CONFIG["vocab_size"], WIDTH)
    yield "wpe.weight", (CONFIG["n_positions"], WIDTH)
    for i in range(CONFIG["n_layer"]):
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


def main() -> int:
    if shutil.disk_usage(tempfile.gettempdir()).free < 12e9:
        print(f"less than 12 GB are free in {tempfile.gettempdir()}: skipped")
        return 77
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        largest, pickled = make_checkpoint(folder)
        limit = 2 * largest + 64 * MIB + 16 * pickled
        size = os.path.getsize(folder / "pytorch_model.bin")
        start = time.monotonic()
        done = subprocess.run(
            [BIN / "eet-convert", folder, "-o", folder / "model.eet"], check=False, text=True,
            capture_output=True, stdin=subprocess.DEVNULL,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (limit, limit)))
        took = time.monotonic() - start
        print(f"{size / 2**30:.2f} GiB in {took:.1f} s under {limit / MIB:.0f} MiB of data "
              f"(largest tensor {largest / MIB:.0f} MiB, data.pkl {pickled} bytes): "
              f"exit {done.returncode} {done.stdout}{done.stderr}")
        assert size >= 4 << 30, "the checkpoint is not as large as this test means it to be"
        return 0 if done.returncode == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
