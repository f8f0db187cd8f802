"""Zip archives and files that are no checkpoint: numbers 1 to 31 of docs/refusals.md.

What needs a file of more than 4 GiB (23), five million entries at once (22), or a file that is
cut while it is read (31) is in tests/converter/.
"""
import io
import os
import struct
import subprocess
import tarfile
import zipfile
import zlib
from pathlib import Path

import make_torch as mt
from hostile import Case

TENSORS = mt.state_dict()
GOOD = mt.zip_bytes(mt.torch_entries(TENSORS))


def place(folder: Path, data: bytes, name="pytorch_model.bin") -> list:
    """A directory as a checkpoint is: config.json and a file of weights."""
    mt.write_config(folder / "config.json")
    (folder / name).write_bytes(data)
    return [folder]


def good(folder: Path) -> list:
    return place(folder, GOOD)


def raw(data: bytes, name="pytorch_model.bin"):
    return lambda folder: place(folder, data, name)


def archive(change=None, archive_options=None, **quirks):
    """A torch archive whose list of entries was changed."""

    def make(folder):
        entries = mt.torch_entries(TENSORS, **quirks)
        if change is not None:
            entries = change(entries) or entries
        return place(folder, mt.zip_bytes(entries, **(archive_options or {})))

    return make


def entry(entries, member: str):
    for found in entries:
        if found.name == f"archive/{member}":
            return found
    raise KeyError(member)


def fields(member="data/0", **values):
    """Sets fields of one entry."""

    def change(entries):
        for name, value in values.items():
            setattr(entry(entries, member), name, value)

    return change


def refuse(number, name, make, code, says, **more):
    return Case(number, name, make, code, says, **more)


# --- what is no zip archive at all (1-4) ---------------------------------------------------------

HTML = b"<!DOCTYPE html>\n<html><head><title>404</title></head><body>Not found</body></html>\n"
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 548118077\n"


def bzip2(data: bytes) -> bytes:
    import bz2

    return bz2.compress(data)


def xz(data: bytes) -> bytes:
    import lzma

    return lzma.compress(data)


def gzip(data: bytes) -> bytes:
    import gzip as module

    return module.compress(data, mtime=0)


def tar(data: bytes) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as members:
        for name in ("sys_info", "storages", "tensors", "pickle"):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            members.addfile(info, io.BytesIO(data))
    return file.getvalue()


FOREIGN = [
    refuse(1, f"file of {size} bytes", raw(GOOD[:size]), 4, says)
    for size, says in ((0, "too short"), (1, "too short"), (3, "too short"), (8, "too short"),
                       (21, "too short"))
] + [
    refuse(2, "git-lfs pointer", raw(LFS), 3, "git lfs pull"),
    refuse(3, "HTML page", raw(HTML), 3, "HTML"),
    refuse(3, "JSON error", raw(b'{"error":"Repository not found","code":404}\n'), 3, "JSON"),
    refuse(4, "gzip", raw(gzip(GOOD)), 3, "unpack it first"),
    refuse(4, "bzip2", raw(bzip2(GOOD)), 3, "unpack it first"),
    refuse(4, "xz", raw(xz(GOOD)), 3, "unpack it first"),
    refuse(4, "7z", raw(b"7z\xBC\xAF\x27\x1C\0\4" + GOOD), 3, "unpack it first"),
    refuse(4, "zstd", raw(b"\x28\xB5\x2F\xFD\x04" + GOOD), 3, "unpack it first"),
    refuse(34, "tar", raw(tar(b"pickle")), 3, "torch 0.1.9 or older"),
]

# --- the archive around the entries (5-8, 10, 11, 20-22, 24) -------------------------------------


def safetensors_in_bin(folder):
    return place(folder, mt.safetensors_bytes(TENSORS, {"format": "pt"}))


def duplicate(name):
    def change(entries):
        entries.append(mt.Entry(name, b"other"))

    return change


def share_local_header(entries):
    """Two lines of the directory over one local header."""
    copied = mt.Entry("archive/data/0", entry(entries, "data/0").data, no_local=True)
    at = len(mt.zip_bytes(entries[:entries.index(entry(entries, "data/0"))])) - mt_tail(entries)
    copied.offset = at
    copied.name = "archive/data/99"
    entries.append(copied)


def mt_tail(entries) -> int:
    """Bytes of directory and end records over the entries in front of data/0."""
    before = entries[:entries.index(entry(entries, "data/0"))]
    return sum(46 + len(e.name) for e in before) + 56 + 20 + 22


def overlapped_bomb(folder):
    """Fifield's: each entry's data are the next entry's header and data."""
    kernel = mt.raw_deflate(bytes(1 << 20))
    out = b""
    names = [f"archive/data/{i}".encode() for i in range(8)]
    pieces = [kernel]
    for i in reversed(range(8)):
        behind = b"".join(reversed(pieces))
        header = struct.pack("<IHHHHHIIIHH", 0x04034B50, 20, 0, 8, 0, 0, 0, len(behind), 1 << 20,
                             len(names[i]), 0) + names[i]
        pieces.append(header)
    out = b"".join(reversed(pieces))
    at, directory = 0, bytearray()
    for i in range(8):
        length = 30 + len(names[i])
        packed = len(out) - at - length
        directory += struct.pack("<IHHHHHHIIIHHHHHII", 0x02014B50, 20, 20, 0, 8, 0, 0, 0, packed,
                                 1 << 20, len(names[i]), 0, 0, 0, 0, 0, at) + names[i]
        at += length
    return place(folder, out + mt.end_of_archive(len(out), directory, 8, False, b"", None, None,
                                                 None))


def renamed(name):
    def change(entries):
        entry(entries, "data/0").name = name

    return change


def many(count):
    """Entries of no bytes, made quickly: headers are packed by a precompiled struct."""

    def make(folder):
        local, line = struct.Struct("<IHHHHHIIIHH"), struct.Struct("<IHHHHHHIIIHHHHHII")
        base = mt.zip_bytes(mt.torch_entries(TENSORS), torch_style=False)
        end = base.rindex(b"PK\5\6")
        have, size, start = struct.unpack_from("<HII", base, end + 10)
        out, lines = bytearray(base[:start]), bytearray(base[start:start + size])
        for i in range(count):
            name = b"archive/extra/%d" % i
            lines += line.pack(0x02014B50, 20, 20, 0, 0, 0, 0, 0, 0, 0, len(name), 0, 0, 0, 0, 0,
                               len(out)) + name
            out += local.pack(0x04034B50, 20, 0, 0, 0, 0, 0, 0, 0, len(name), 0) + name
        return place(folder, bytes(out) + mt.end_of_archive(
            len(out), lines, have + count, count > 65000, b"", None, None, None))

    return make


def many_at_once(folder):
    """Five million entries whose headers are all alike: they differ in nothing but must be counted
    before they are looked at."""
    count = 5_000_000
    name = b"archive/x"
    local = struct.pack("<IHHHHHIIIHH", 0x04034B50, 20, 0, 0, 0, 0, 0, 0, 0, len(name), 0) + name
    line = struct.pack("<IHHHHHHIIIHHHHHII", 0x02014B50, 20, 20, 0, 0, 0, 0, 0, 0, 0, len(name), 0,
                       0, 0, 0, 0, 0) + name
    mt.write_config(folder / "config.json")
    with open(folder / "pytorch_model.bin", "wb") as file:
        for text in (local, line):
            block = text * 50_000
            for _ in range(count // 50_000):
                file.write(block)
        # the end records, as end_of_archive writes them behind the directory
        directory = bytes(len(line))
        end = mt.end_of_archive(count * len(local), directory, count, True, b"",
                                {"bytes": 0xFFFFFFFF, "offset": 0xFFFFFFFF},
                                {"bytes": count * len(line)},
                                count * (len(local) + len(line)))
        file.write(end[len(directory):])
    return [folder]


NAMES = [
    ("parent", "../etc1", "plain relative path"), ("parent inside", "archive/../x", "plain rel"),
    ("absolute", "/etc/passwd", "plain relative path"), ("drive", "C:x", "plain relative path"),
    ("backslash", "archive\\x", "plain relative path"), ("NUL", b"archive/a\0b", "printable UTF-8"),
    ("invalid UTF-8", b"archive/\xFF", "printable UTF-8"), ("65535 bytes", "n" * 65535, "65535"),
    ("escape codes", b"archive/\x1B[31mred", "printable UTF-8"), ("empty", "", "0 bytes"),
]

AROUND = [
    Case(5, "zip called model.safetensors", raw(GOOD, "model.safetensors"), 0, same_as=good),
    Case(5, "safetensors called pytorch_model.bin", safetensors_in_bin, 0, same_as=good),
    refuse(6, "64 bytes in front", archive(archive_options={"head": bytes(64)}), 4,
           "no checkpoint"),
    refuse(6, "64 bytes in front that look like an entry",
           archive(archive_options={"head": b"PK\3\4" + bytes(60)}), 4, "64 bytes stand in front"),
    refuse(7, "100 bytes behind", archive(archive_options={"tail": bytes(100)}), 4,
           "100 bytes follow the end"),
    refuse(7, "archive comment", archive(archive_options={"comment": b"hello"}), 4,
           "has a comment of 5 bytes"),
    refuse(8, "other local name", archive(fields(local={"name": b"archive/data/9"})), 4,
           "another name in its own header"),
    refuse(8, "longer local name", archive(fields(local={"name": b"archive/data/99"})), 4,
           "another name in its own header"),
    refuse(10, "same name twice", archive(duplicate("archive/data/0")), 4, "have one name"),
    refuse(10, "same name in capitals", archive(duplicate("archive/DATA/0")), 4,
           "differ in case only"),
    refuse(11, "two lines over one header", archive(share_local_header), 4, "zip entry"),
    refuse(11, "overlapped bomb", overlapped_bomb, 4, "zip"),
    *[refuse(20, f"name: {what}", archive(renamed(name)), 4, says) for what, name, says in NAMES],
    refuse(21, "two prefixes", archive(renamed("elsewhere/data/0")), 4, "elsewhere"),
    refuse(21, "data.pkl under two prefixes", archive(duplicate("elsewhere/data.pkl")), 4,
           "elsewhere"),
    Case(22, "70000 entries", many(70000), 0, same_as=good),
    refuse(22, "5 million entries", many_at_once, 6, "5000000 entries"),
    refuse(24, "zip64 count", archive(archive_options={"zip64": {"count": 3}}), 4, "disagree"),
    refuse(24, "zip64 size", archive(archive_options={"zip64": {"bytes": 3}}), 4, "disagree"),
    refuse(24, "zip64 offset", archive(archive_options={"zip64": {"offset": 3}}), 4, "disagree"),
    refuse(24, "zip64 count of 2^63", archive(archive_options={"zip64": {"count": 1 << 63}}), 4,
           "disagree"),
    refuse(24, "locator outside", archive(archive_options={"locator_offset": 1 << 40}), 4,
           "locator points"),
    refuse(24, "locator inside", archive(archive_options={"locator_offset": 64}), 4,
           "locator points"),
    refuse(24, "count in the end record", archive(archive_options={"end": {"count": 1}}), 4,
           "disagree"),
]

# --- one entry (9, 12-19) ------------------------------------------------------------------------


def plain(change):
    """An archive without descriptors, as other programs write."""
    return archive(change, {"torch_style": False})


def flip(member="data/0"):
    def change(entries):
        found = entry(entries, member)
        found.crc = zlib.crc32(found.data)
        found.data = bytes([found.data[0] ^ 1]) + found.data[1:]

    return change


def is_storage(name: str) -> bool:
    return name.startswith("archive/data/")


def no_crc(which):
    def change(entries):
        for found in entries:
            if which(found.name):
                found.crc = 0

    return change


def is_crcless(folder, output):
    told = subprocess.run([os.path.join(os.environ["EET_BIN"], "eet-inspect"), "--json", output],
                          capture_output=True, check=True, text=True).stdout
    assert '"src.0.crcless": true' in told, "the provenance does not say crcless"


def never_filled(entries):
    """skip_data(): room for the weights, and nothing in it."""
    for found in entries:
        if is_storage(found.name):
            found.data, found.crc = bytes(len(found.data)), 0


def deflate_all(entries):
    for found in entries:
        found.method = 8


def deflated(member="data/0", **values):
    def change(entries):
        found = entry(entries, member)
        found.method = 8
        for name, value in values.items():
            setattr(found, name, value(found) if callable(value) else value)

    return change


def rezip(folder):
    """The same archive by another program, deflated."""
    place(folder, b"")
    with zipfile.ZipFile(folder / "pytorch_model.bin", "w", zipfile.ZIP_DEFLATED) as out:
        for found in mt.torch_entries(TENSORS):
            out.writestr(found.name, found.data)
    return [folder]


BOMB = mt.raw_deflate(bytes(64 << 20))
WRONG_SIZES = struct.pack("<IIII", 0x08074B50, 1, 2, 3)

ENTRIES = [
    *[refuse(9, f"local {what}", plain(fields(local=local)), 4, says) for what, local, says in (
        ("size", {"size": 5}, "malformed"), ("packed size", {"packed_size": 5}, "malformed"),
        ("crc", {"crc": 5}, "malformed"), ("method", {"method": 8}, "another method"),
        ("flags", {"flags": 0x800}, "other flags"))],
    refuse(12, "flipped byte in a storage", archive(flip()), 4, "archive/data/0"),
    refuse(12, "flipped byte in data.pkl", archive(flip("data.pkl")), 4, "archive/data.pkl"),
    Case(13, "no CRC at all", archive(no_crc(lambda name: True)), 0, "checksum", same_as=good,
         check=is_crcless),
    Case(13, "no CRC of any storage", archive(no_crc(is_storage)), 0, "checksum", same_as=good,
         check=is_crcless),
    refuse(13, "no CRC of one storage", archive(fields(crc=0)), 4, "archive/data/0"),
    refuse(13, "weights never filled in", archive(never_filled), 4, "skip_data"),
    Case(14, "wrong sizes in a descriptor", archive(fields(descriptor=WRONG_SIZES)), 0,
         same_as=good),
    refuse(14, "a descriptor too long", archive(fields(descriptor=bytes(25))), 4,
           "belong to no entry"),
    refuse(15, "encrypted locally", archive(fields(local={"flags": 0x0809})), 4, "encrypted"),
    refuse(15, "encrypted centrally", archive(fields(central_flags=0x0809)), 4, "encrypted"),
    refuse(15, "encrypted in both", archive(fields(flags=0x0809)), 4, "encrypted"),
    *[refuse(16, f"method {method}", archive(fields(method=method)), 3, f"method {method}")
      for method in (12, 14, 93, 99)],
    Case(17, "deflated by hand", archive(deflate_all), 0, same_as=good),
    Case(17, "deflated by zipfile", rezip, 0, same_as=good),
    refuse(18, "bomb of 64 MiB declared as 48", archive(deflated(packed=BOMB, size=48)), 4,
           "data/0 has 48 bytes", memory=1 << 28),
    refuse(18, "bomb of 64 MiB declared as the storage", archive(deflated(packed=BOMB)), 4,
           "archive/data/0", memory=1 << 28),
    refuse(18, "2 bytes declared as 2 GiB",
           archive(deflated(packed=b"\x03\x00", size=1 << 31)), 4, "archive/data/0"),
    refuse(19, "deflate ends early",
           archive(deflated(packed=lambda e: mt.raw_deflate(e.data)[:-3])), 4, "archive/data/0"),
    refuse(19, "bytes behind the deflate stream",
           archive(deflated(packed=lambda e: mt.raw_deflate(e.data) + b"x")), 4, "archive/data/0"),
    refuse(19, "deflate gives too little",
           archive(deflated(packed=lambda e: mt.raw_deflate(e.data[:-1]))), 4, "archive/data/0"),
]

# --- archives of others (25) ---------------------------------------------------------------------


def members(*names):
    return raw(mt.zip_bytes([mt.Entry(name, b"x") for name in names], torch_style=False))


OTHERS = [
    refuse(25, what, members(*names), 3, says) for what, names, says in (
        ("TorchScript", ("m/data.pkl", "m/code/m.py", "m/constants.pkl", "m/version"),
         "TorchScript"),
        ("torch.package", ("m/.data/extern_modules", "m/model/model.pkl"), "torch.package"),
        ("npz", ("arr_0.npy", "arr_1.npy"), "numpy archive"),
        ("keras", ("metadata.json", "config.json", "model.weights.h5"), "Keras"),
        ("mar", ("MAR-INF/MANIFEST.json", "model.pt"), "TorchServe"),
        ("zip of a checkpoint", ("gpt2/config.json", "gpt2/pytorch_model.bin"), "unpack it first"))
] + [
    refuse(25, "TorchScript of torch 2.11", lambda folder: place(
        folder, (Path(__file__).parents[2] / "fixtures/torch-2.11/script.pt").read_bytes()), 3,
        "TorchScript"),
    refuse(25, "some zip", members("a/readme.txt"), 4, "no data.pkl"),
]

# --- the small entries and the storages (26-29) --------------------------------------------------


def with_unneeded(folder, kept: bool):
    """A tensor that nothing needs, with or without its record."""
    tensors = {**TENSORS, "transformer.h.0.attn.bias": mt.View(
        mt.Storage(bytes(64) if kept else None, "uint8", numel=64, key="77"), (1, 1, 8, 8))}
    return place(folder, mt.zip_bytes(mt.torch_entries(tensors)))


def swapped(folder):
    """The same weights, big-endian."""
    tensors = {}
    for name, (dtype, shape, data) in TENSORS.items():
        if name != "lm_head.weight":
            count = len(data) // 4
            values = struct.unpack(f"<{count}I", data)
            tensors[name] = (dtype, shape, struct.pack(f">{count}I", *values))
    tensors["lm_head.weight"] = tensors["transformer.wte.weight"]
    return place(folder, mt.zip_bytes(mt.torch_entries(tensors, byteorder="big")))


def resized(by: int):
    def change(entries):
        found = entry(entries, "data/0")
        found.data = found.data[:by] if by < 0 else found.data + bytes(by)

    return change


def records(**members):
    return archive(records={name.replace("__", "/"): data for name, data in members.items()})


SMALL = [
    refuse(26, "no data.pkl", archive(records={"data.pkl": None}), 4, "no data.pkl"),
    refuse(26, "a needed storage is missing", archive(records={"data/7": None}), 4, "data/7"),
    Case(26, "an unneeded storage is missing", lambda folder: with_unneeded(folder, False), 0,
         "data/77 is missing", same_as=good),
    Case(26, "a storage nobody names", archive(records={"data/99": b"1234"}), 0, "data/99",
         same_as=good),
    *[Case(27, f"version {text.strip()}", archive(version=text), 0, same_as=good)
      for text in ("2\n", "10\n", "3")],
    *[refuse(27, f"version {text!r}", archive(version=text), code, "version")
      for text, code in (("11", 3), ("-1", 4), ("999999999999999999999", 3), ("", 4), ("x", 4),
                         ("3\n3", 4))],
    Case(28, "big-endian", swapped, 0, same_as=good),
    Case(28, "no byteorder", archive(byteorder=None), 0, same_as=good),
    refuse(28, "byteorder BIG", archive(byteorder="BIG"), 4, "byteorder"),
    refuse(28, "byteorder middle", archive(byteorder="middle"), 4, "byteorder"),
    refuse(29, "a record one byte short", archive(resized(-1)), 4, "data/0"),
    refuse(29, "a record one byte long", archive(resized(1)), 4, "data/0"),
]

# --- what is no regular file (30) ----------------------------------------------------------------


def special(make):
    def build(folder):
        mt.write_config(folder / "config.json")
        make(folder / "pytorch_model.bin")
        return [folder]

    return build


def link_to_good(path: Path) -> None:
    (path.parent / "elsewhere").write_bytes(GOOD)
    path.symlink_to(path.parent / "elsewhere")


def hub_cache(folder: Path) -> list:
    """models--x/snapshots/<revision>/NAME -> ../../blobs/<id>"""
    blobs, snapshot = folder / "blobs", folder / "snapshots" / "0a1b"
    blobs.mkdir()
    snapshot.mkdir(parents=True)
    (blobs / "aa11").write_bytes(GOOD)
    mt.write_config(blobs / "bb22")
    (snapshot / "pytorch_model.bin").symlink_to("../../blobs/aa11")
    (snapshot / "config.json").symlink_to("../../blobs/bb22")
    return [snapshot]


FILES = [
    refuse(30, "a pipe", special(os.mkfifo), 5, "a pipe", seconds=2.0),
    refuse(30, "a directory", special(Path.mkdir), 5, "a directory"),
    refuse(30, "a link to /dev/zero", special(lambda path: path.symlink_to("/dev/zero")), 5,
           "a device", options=("--follow-symlinks",)),
    refuse(30, "a link", special(link_to_good), 2, "--follow-symlinks"),
    Case(30, "a link that is to be followed", special(link_to_good), 0,
         options=("--follow-symlinks",), same_as=good),
    Case(30, "a hub cache", hub_cache, 0, same_as=good),
]

CASES = FOREIGN + AROUND + ENTRIES + OTHERS + SMALL + FILES
