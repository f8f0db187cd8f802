#!/usr/bin/env python3
"""read_eet.py FILE - an independent reader of .eet files, made from docs/format.md alone.

Checks the structure, zeros, names, places, facts and SHA-256 of everything, XXH3 too where the
library xxhash is, and prints what the file holds as JSON. Standard library only."""
import ctypes
import hashlib
import json
import math
import re
import struct
import sys



class Pair(ctypes.Structure):
    _fields_ = [("low", ctypes.c_uint64), ("high", ctypes.c_uint64)]


try:
    xxhash = ctypes.CDLL("libxxhash.so.0")
    for function, result in ((xxhash.XXH3_64bits, ctypes.c_uint64), (xxhash.XXH3_128bits, Pair)):
        function.restype, function.argtypes = result, [ctypes.c_char_p, ctypes.c_size_t]
except (OSError, AttributeError):
    xxhash = None

MAGIC = b"\x89EET\r\n\x1a\n"
ORDER = [b"META", b"NAME", b"TENS", b"QUAN", b"VOCB", b"ASST", b"PROV", b"DATA", b"PACK"]
NONE = 0xFFFFFFFF
DTYPES = {1: ("f32", 32), 2: ("f16", 16), 3: ("bf16", 16), 4: ("f64", 64), 5: ("i8", 8),
          6: ("u8", 8), 7: ("i32", 32), 8: ("i64", 64), 9: ("u16", 16), 16: ("f8_e4m3", 8),
          17: ("f8_e5m2", 8), 18: ("f8_e8m0", 8), 32: ("i4", 4), 33: ("u4", 4), 34: ("u2", 2)}
ACTS = "linear relu gelu_erf gelu_tanh silu quick_gelu tanh relu2".split()
TAKES = "first last every given mean".split()
BIG = 16777216
BOUNDS = {"layers": (1, 1024), "heads": (1, 1024), "head_dim": (1, 1024), "hidden": (1, 65536),
          "ffn": (1, 1048576), "pos.rows": (0, BIG), "emb.dim": (1, 65536), "types": (0, BIG),
          "type_default": (-1, BIG), "vocab.size": (1, BIG), "vocab.rows": (1, BIG),
          "norm_eps": (0.0, 1.0), "attn_scale": (0.0, 1e6), "emb.scale": (-1e6, 1e6)}
BOUNDS.update({"tok." + t: (-1, BIG) for t in "pad bos eos unk cls sep mask".split()})
FLAGS = ["pre_norm", "final_norm", "emb_norm", "inv_layer_scale", "pos.skip_pad"]
# place: slot, part of the name, per block?, has a bias?
SLOTS = [(0x01, "emb.tok", 0, 0), (0x06, "emb.proj_in", 0, 1), (0x02, "emb.pos", 0, 0),
         (0x03, "emb.type", 0, 0), (0x04, "emb.norm", 0, 1), (0x14, "attn.norm", 1, 1),
         (0x10, "attn.qkv", 1, 1), (0x12, "attn.out", 1, 1), (0x26, "cross.norm", 1, 1),
         (0x20, "cross.q", 1, 1), (0x22, "cross.kv", 1, 1), (0x24, "cross.out", 1, 1),
         (0x34, "ffn.norm", 1, 1), (0x30, "ffn.fc1", 1, 1), (0x32, "ffn.fc2", 1, 1),
         (0x0A, "norm", 0, 1)]


def must(truth, what):
    if not truth:
        raise SystemExit("read_eet: " + what)


def sha(data):
    return hashlib.sha256(data).digest()


def check_xxh3(data, stored, what):
    if xxhash is not None:
        value = xxhash.XXH3_128bits(data, len(data))
        must((value.low, value.high) == stored, what + ": XXH3")


def metadata(block):
    count, zero = struct.unpack_from("<II", block)
    must(zero == 0 and count <= 65536, "head of a metadata block")
    at, last, out, required = 8, b"", {}, set()
    for _ in range(count):
        length, kind, flags, size = struct.unpack_from("<HBBI", block, at)
        key = block[at + 8:at + 8 + length]
        start = -(-(at + 8 + length) // 8) * 8
        end = -(-(start + size) // 8) * 8
        value = block[start:start + size]
        must(re.fullmatch(rb"[a-z][a-z0-9_.]{0,127}", key) and key > last and flags <= 1, "key")
        must(not any(block[at + 8 + length:start]) and not any(block[start + size:end]), "padding")
        must(end <= len(block), "entry past the end")
        out[key.decode()] = (kind, scalar(kind, value))
        if flags:
            required.add(key.decode())
        at, last = end, key
    must(at == len(block), "bytes after the last entry")
    return out, required


def scalar(kind, value):
    if kind in (1, 2, 3):
        must(len(value) == 8, "length of a number")
        number = struct.unpack({1: "<Q", 2: "<q", 3: "<d"}[kind], value)[0]
        must(kind != 3 or (math.isfinite(number) and str(number) != "-0.0"), "a real")
        return number
    if kind == 4:
        must(value in (b"\0", b"\1"), "a bool")
        return value == b"\1"
    if kind == 5:
        must(b"\0" not in value, "NUL in a string")
        return value.decode("utf-8")
    if kind == 6:
        return value.hex()
    if kind in (7, 8, 9):
        must(len(value) % 8 == 0, "length of an array")
        return [scalar(kind - 6, value[i:i + 8]) for i in range(0, len(value), 8)]
    must(kind == 10, "type of a value")
    count = struct.unpack_from("<I", value)[0]
    ends = struct.unpack_from("<%dI" % count, value, 4)
    text = value[4 + 4 * count:]
    must(list(ends) == sorted(ends) and (ends[-1] if ends else 0) == len(text), "ends of strings")
    return [scalar(5, text[a:b]) for a, b in zip((0,) + ends, ends)]


def check_stack(meta, known, name):
    def get(key, kind):
        known.add(name + "." + key)
        must(meta.get(name + "." + key, (0, 0))[0] == kind, "fact %s.%s" % (name, key))
        return meta[name + "." + key][1]

    dec = name == "dec"
    bounds = dict(BOUNDS, **({"start": (-1, BIG), "cross_dim": (0, 65536)} if dec else {}))
    s = {}
    for key, (low, high) in bounds.items():
        s[key] = get(key, 3 if isinstance(low, float) else 2)
        must(low <= s[key] <= high, "bounds of %s.%s" % (name, key))
    for key in FLAGS + (["cross"] if dec else []):
        s[key] = get(key, 4)
    must(get("act", 5) in ACTS and get("pos.kind", 5) in ("none", "table"), "a word")
    must((s["pos.rows"] > 0) == (get("pos.kind", 5) == "table"), "pos.rows")
    must(s["vocab.size"] <= s["vocab.rows"], "vocab.size")
    must(s["type_default"] == -1 or s["type_default"] < s["types"], "type_default")
    must(not s["pos.skip_pad"] or s["tok.pad"] >= 0, "pos.skip_pad")
    must(s.get("cross", False) == (s.get("cross_dim", 0) > 0), "cross_dim")
    must(all(s[k] < s["vocab.size"] for k in s if k.startswith("tok.") or k == "start"), "tok")
    return s


def expected_shapes(s):
    h, d, i, f = s["hidden"], s["emb.dim"], s["heads"] * s["head_dim"], s["ffn"]
    shapes = {0x01: [s["vocab.rows"], d], 0x14: [h], 0x10: [3 * i, h], 0x12: [h, i], 0x34: [h],
              0x30: [f, h], 0x32: [h, f]}
    shapes.update({0x06: [h, d]} if d != h else {})
    shapes.update({0x02: [s["pos.rows"], h]} if s["pos.rows"] else {})
    shapes.update({0x03: [s["types"], h]} if s["types"] else {})
    shapes.update({0x04: [h]} if s["emb_norm"] else {})
    shapes.update({0x0A: [h]} if s["final_norm"] else {})
    if s.get("cross"):
        shapes.update({0x26: [h], 0x20: [i, h], 0x22: [2 * i, s["cross_dim"]], 0x24: [h, i]})
    return shapes


def places(stacks, heads):
    """{(role, layer): (name, shape or None, must it be there)}"""
    out = {}
    for group, name in ((1, "enc"), (2, "dec")):
        if name not in stacks:
            continue
        shapes = expected_shapes(stacks[name])
        for slot, part, per_block, bias in SLOTS:
            for layer in range(stacks[name]["layers"]) if per_block else [-1]:
                if slot not in shapes:
                    continue
                full = "%s.%s%s" % (name, "%04d." % layer if per_block else "", part)
                role = group << 8 | slot
                out[role, layer] = (full + (".w" if bias else ""), shapes[slot], True)
                if bias:
                    out[role + 1, layer] = (full + ".b", shapes[slot][:1], False)
    for layer, head in enumerate(heads):
        for slot, part in ((1, "dense"), (3, "norm"), (5, "out")):
            for k, end in enumerate((".w", ".b")):
                out[3 << 8 | slot + k, layer] = ("head.%s.%s%s" % (head["name"], part, end),
                                                 None, False)
    return out


def read_header(data):
    must(len(data) >= 4096 and data[:8] == MAGIC, "magic")
    fields = struct.unpack_from("<HHHHIHHQQII", data, 8)
    major, minor, least, size, tag, count, entry, table, file_bytes, tensors, flags = fields
    must(tag == 0x01020304 and major == 1 and least == 0 and size == 256, "version")
    must(entry == 64 and table == 256 and count <= 60 and flags == 1, "header")
    must(file_bytes == len(data) and len(data) % 4096 == 0, "file_bytes")
    must(not any(data[112:240]) and not any(data[256 + 64 * count:4096]), "zeros of page 0")
    if xxhash is not None:
        sums = struct.unpack_from("<QQ", data, 240)
        must(sums[1] == xxhash.XXH3_64bits(data, 248), "header_xxh3")
        must(sums[0] == xxhash.XXH3_64bits(data[256:], 64 * count), "table_xxh3")
    return (major, minor, least), count, tensors


def read_sections(data, count):
    sections, end, place = [], 4096, 0
    for i in range(count):
        at = 256 + 64 * i
        kind = data[at:at + 4]
        flags, codec, log2 = struct.unpack_from("<HBB", data, at + 4)
        offset, stored, raw, low, high = struct.unpack_from("<QQQQQ", data, at + 8)
        major, _, index, reserved = struct.unpack_from("<HHIQ", data, at + 48)
        must(kind in ORDER and major == 1 and codec == 0 and stored == raw, "a section's type")
        must(ORDER.index(kind) >= place and reserved == 0 and flags <= 3, "a section's fields")
        must(12 <= log2 <= 21 and offset % 2**log2 == 0, "a section's alignment")
        must(end <= offset and offset + stored <= len(data), "a section's place")
        must(index == sum(s["kind"] == kind for s in sections), "a section's index")
        must(bool(flags & 2) == (kind == b"DATA"), "a section's flags")
        must(not any(data[end:offset]), "zeros between sections")
        end, place = offset + stored, ORDER.index(kind)
        body = data[offset:end]
        if kind != b"DATA":
            check_xxh3(body, (low, high), kind.decode())
        sections.append({"kind": kind, "flags": flags, "offset": offset, "bytes": body,
                         "xxh3": (low, high)})
    must(not any(data[end:]) and -(-end // 4096) * 4096 == len(data), "the end of the file")
    must(all(sum(s["kind"] == k for s in sections) == 1 for k in ORDER[:3]), "META, NAME, TENS")
    return sections


def read_tensors(table, names, sections, where):
    out, last = [], ""
    for at in range(0, len(table), 192):
        name_off, length, dtype, rank = struct.unpack_from("<IHBB", table, at)
        dims = struct.unpack_from("<6Q", table, at + 8)
        offset, nbytes, section, layout, role, layer = struct.unpack_from("<QQHHHh", table, at + 56)
        flags, alias, quant, zero = struct.unpack_from("<IIII", table, at + 80)
        name = names[name_off:name_off + length].decode()
        must(re.fullmatch("[a-z][a-z0-9_.]*", name) and last < name and length <= 255, "a name")
        must(dtype in DTYPES and rank <= 6 and layout == 0 and quant == NONE, name + ": fields")
        must(zero == 0 and not any(table[at + 144:at + 192]) and flags <= 7, name + ": zeros")
        must(all(d >= 1 for d in dims) and all(d == 1 for d in dims[rank:]), name + ": dims")
        must(nbytes == -(-math.prod(dims) * DTYPES[dtype][1] // 8), name + ": nbytes")
        must(sections[section]["kind"] == b"DATA", name + ": section")
        must(offset % (4096 if nbytes >= 65536 else 256) == 0, name + ": alignment")
        body = sections[section]["bytes"][offset:offset + nbytes]
        must(len(body) == nbytes and sha(body) == table[at + 112:at + 144], name + ": SHA-256")
        check_xxh3(body, struct.unpack_from("<QQ", table, at + 96), name)
        must(bool(flags & 1) == (alias != NONE), name + ": alias")
        place = where.get((role, layer))
        must(place is not None and place[0] == name, name + ": place")
        must(place[1] is None or place[1] == list(dims[:rank]), name + ": shape")
        out.append({"name": name, "dtype": DTYPES[dtype][0], "shape": list(dims[:rank]),
                    "bytes": nbytes, "offset": sections[section]["offset"] + offset, "role": role,
                    "layer": layer, "synth": bool(flags & 2), "alias": alias, "dtype_no": dtype,
                    "flags": flags, "xxh3": table[at + 96:at + 112],
                    "sha256": table[at + 112:at + 144].hex()})
        last = name
    got = {(t["role"], t["layer"]) for t in out}
    must(len(got) == len(out), "a place is taken twice")
    must(all(key in got for key, place in where.items() if place[2]), "a tensor is missing")
    return out


def check_bytes(data, tensors, sections):
    """Overlaps, zeros between tensors, the hash of DATA; for files with one DATA section."""
    section = [s for s in sections if s["kind"] == b"DATA"][0]
    end, digests = section["offset"], b""
    for t in sorted((t for t in tensors if t["alias"] == NONE), key=lambda t: t["offset"]):
        must(end <= t["offset"] < end + 4096 and not any(data[end:t["offset"]]), t["name"])
        end, digests = t["offset"] + t["bytes"], digests + t["xxh3"]
    must(end == section["offset"] + len(section["bytes"]), "the end of DATA")
    check_xxh3(digests, section["xxh3"], "DATA")
    for t in tensors:
        if t["alias"] != NONE:
            of = tensors[t["alias"]]
            same = ("offset", "bytes", "dtype", "shape", "sha256", "xxh3")
            must(of["alias"] == NONE and all(t[k] == of[k] for k in same), t["name"] + ": alias")


def read_assets(block):
    count, zero = struct.unpack_from("<II", block)
    must(zero == 0 and count <= 256, "ASST")
    out, name_at, end = [], 8 + 64 * count, 0
    for i in range(count):
        kind, length, zero, off, size = struct.unpack_from("<IHHQQ", block, 8 + 64 * i)
        must(kind in (1, 2) and zero == 0, "an asset's kind")
        must(struct.unpack_from("<Q", block, 64 + 64 * i)[0] == name_at, "an asset's name")
        name = block[name_at:name_at + length].decode()
        must(re.fullmatch("[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}", name), "an asset's name")
        must(not out or out[-1]["name"] < name, "order of assets")
        must(sha(block[off:off + size]) == block[32 + 64 * i:64 + 64 * i], name + ": SHA-256")
        out.append({"name": name, "functional": kind == 1, "bytes": size, "off": off,
                    "sha256": sha(block[off:off + size]).hex()})
        name_at += length
    end = name_at
    for asset in out:
        start = -(-end // 8) * 8
        must(asset.pop("off") == start and not any(block[end:start]), "an asset's place")
        end = start + asset["bytes"]
    must(end == len(block), "the end of ASST")
    return out


def short(text):
    return struct.pack("<H", len(text)) + text.encode()


def digests(meta, tensors, assets):
    text = b"EETW\1"
    for t in tensors:
        text += short(t["name"])
        text += struct.pack("<BBHh", t["dtype_no"], len(t["shape"]), t["role"], t["layer"])
        text += struct.pack("<%dQHI" % len(t["shape"]), *t["shape"], 0, t["flags"])
        text += short("" if t["alias"] == NONE else tensors[t["alias"]]["name"])
        text += bytes.fromhex(t["sha256"])
    weights = sha(text)
    text = b"EETC\1" + struct.pack("<H", 1) + sha(meta) + weights
    for a in assets:
        if a["functional"]:
            text += b"ASST" + short(a["name"]) + bytes.fromhex(a["sha256"])
    return sha(text), weights


def read_heads(meta, known, stacks):
    heads = []
    while "head.%d.name" % len(heads) in meta:
        key = "head.%d." % len(heads)
        words = ("name", "stack", "take", "act", "normalize")
        known.update(key + k for k in (*words, "labels", "skip_pad"))
        head = {k: meta[key + k][1] for k in words}
        must(re.fullmatch("[a-z][a-z0-9_]{0,30}", head["name"]), "a head's name")
        must(head["stack"] in stacks and head["take"] in TAKES and head["act"] in ACTS, "a head")
        must(all(h["name"] != head["name"] for h in heads), "a head's name is taken")
        heads.append(head)
    return heads


def read(path):
    with open(path, "rb") as file:
        data = file.read()
    version, count, tensor_count = read_header(data)
    sections = read_sections(data, count)

    def body(kind):
        return next((s["bytes"] for s in sections if s["kind"] == kind), None)

    meta, required = metadata(body(b"META"))
    known = {"arch.family"}
    stacks = {s: check_stack(meta, known, s) for s in ("enc", "dec") if s + ".layers" in meta}
    heads = read_heads(meta, known, stacks)
    must(stacks and required <= known, "facts")
    must(len(body(b"TENS")) == 192 * tensor_count, "TENS")
    tensors = read_tensors(body(b"TENS"), body(b"NAME"), sections, places(stacks, heads))
    check_bytes(data, tensors, sections)
    assets = read_assets(body(b"ASST")) if body(b"ASST") else []
    content, weights = digests(body(b"META"), tensors, assets)
    must(data[48:80] == content and data[80:112] == weights, "digests of the header")
    for t in tensors:
        alias = t.pop("alias")
        t["alias_of"] = None if alias == NONE else tensors[alias]["name"]
        for key in ("dtype_no", "flags"):
            t.pop(key)
        t["xxh3"] = t["xxh3"][::-1].hex()
    return {"bytes": len(data),
            "format": dict(zip(("major", "minor", "min_reader_minor"), version)),
            "content_sha256": content.hex(), "weights_sha256": weights.hex(),
            "sections": [[s["kind"].decode(), s["offset"], len(s["bytes"])] for s in sections],
            "meta": {k: v[1] for k, v in meta.items()},
            "provenance": {k: v[1] for k, v in metadata(body(b"PROV") or bytes(8))[0].items()},
            "assets": assets, "tensors": tensors}


if __name__ == "__main__":
    json.dump(read(sys.argv[1]), sys.stdout, indent=1)
    print()
    if xxhash is None:
        print("read_eet: XXH3 not checked: there is no libxxhash.so.0", file=sys.stderr)
