"""Hostile .eet files before the tools of artifacts: 93 of docs/refusals.md, and what eet-diff,
eet-verify and eet-inspect --extract make of files whose checksums were made right again."""
import hashlib
import os
import stat
import struct
import sys
import tempfile
import zlib
from pathlib import Path

from hostile import Case

sys.path.insert(0, str(Path(__file__).parent.parent))
from read_eet import xxhash  # noqa: E402  (read_eet.py is a program, too)

GOLDEN = Path("fixtures/eet/golden-1.0.eet")
NAN = Path("fixtures/eet/nan.eet")


class File:
    """A .eet file in memory, to be changed as an attacker would: with right checksums."""

    def __init__(self, path=GOLDEN):
        self.data = bytearray(path.read_bytes())

    def entry(self, kind):
        count = struct.unpack_from("<H", self.data, 20)[0]
        return next(256 + 64 * i for i in range(count)
                    if self.data[256 + 64 * i:260 + 64 * i] == kind)

    def has(self, kind):
        count = struct.unpack_from("<H", self.data, 20)[0]
        return kind in (self.data[256 + 64 * i:260 + 64 * i] for i in range(count))

    def section(self, kind):
        return struct.unpack_from("<QQ", self.data, self.entry(kind) + 8)

    def tensor(self, name):
        """Where the entry of a tensor begins."""
        names, _ = self.section(b"NAME")
        start, size = self.section(b"TENS")
        for at in range(start, start + size, 192):
            offset, length = struct.unpack_from("<IH", self.data, at)
            if self.data[names + offset:names + offset + length].decode() == name:
                return at
        raise KeyError(name)

    def tensor_bytes(self, name):
        offset, size = struct.unpack_from("<QQ", self.data, self.tensor(name) + 56)
        return self.section(b"DATA")[0] + offset, size

    def put(self, at, value):
        self.data[at:at + len(value)] = value
        return self

    def hash(self, at, size, where):
        pair = xxhash.XXH3_128bits(bytes(self.data[at:at + size]), size)
        self.put(where, struct.pack("<QQ", pair.low, pair.high))

    def hash_tensor(self, name, sha=False):
        at = self.tensor(name)
        start, size = self.tensor_bytes(name)
        self.hash(start, size, at + 96)
        if sha:
            self.put(at + 112, hashlib.sha256(self.data[start:start + size]).digest())
        return self

    def repair(self):
        """Every XXH3 of sections, table and header."""
        count = struct.unpack_from("<H", self.data, 20)[0]
        start, size = self.section(b"TENS")
        entries = [(struct.unpack_from("<Q", self.data, at + 56)[0], at)
                   for at in range(start, start + size, 192) if not self.data[at + 80] & 1]
        sums = b"".join(bytes(self.data[at + 96:at + 112]) for _, at in sorted(entries))
        for at in range(256, 256 + 64 * count, 64):
            offset, stored = struct.unpack_from("<QQ", self.data, at + 8)
            body = sums if self.data[at:at + 4] == b"DATA" else self.data[offset:offset + stored]
            pair = xxhash.XXH3_128bits(bytes(body), len(body))
            self.put(at + 32, struct.pack("<QQ", pair.low, pair.high))
        table = bytes(self.data[256:256 + 64 * count])
        self.put(240, struct.pack("<Q", xxhash.XXH3_64bits(table, len(table))))
        self.put(248, struct.pack("<Q", xxhash.XXH3_64bits(bytes(self.data[:248]), 248)))
        return self

    def assets(self, items):
        """Replaces ASST by these (kind, name, bytes), which must fit its page."""
        at, _ = self.section(b"ASST")
        block = asset_block(items)
        assert len(block) <= 4096
        self.data[at:at + 4096] = block.ljust(4096, b"\0")
        return self.put(self.entry(b"ASST") + 16, struct.pack("<QQ", len(block), len(block)))

    def digest(self):
        """The content digest of the header, from its parts (docs/format.md)."""
        def body(kind):
            offset, size = self.section(kind)
            return bytes(self.data[offset:offset + size])

        names, table = body(b"NAME"), body(b"TENS")

        def name_of(index):
            offset, length = struct.unpack_from("<IH", table, 192 * index)
            return struct.pack("<H", length) + names[offset:offset + length]

        weights = hashlib.sha256(b"EETW\1")
        for i in range(len(table) // 192):
            entry = table[192 * i:192 * i + 192]
            alias = struct.unpack_from("<I", entry, 84)[0]
            weights.update(name_of(i) + entry[6:8] + entry[76:80] + entry[8:8 + 8 * entry[7]])
            weights.update(entry[74:76] + entry[80:84])
            weights.update(b"\0\0" if alias == 0xFFFFFFFF else name_of(alias))
            weights.update(entry[112:144])
        content = hashlib.sha256(b"EETC\1" + struct.pack("<H", 1))
        content.update(hashlib.sha256(body(b"META")).digest() + weights.digest())
        if self.has(b"VOCB"):
            raw = body(b"VOCB")
            raw = zlib.decompress(raw) if self.data[self.entry(b"VOCB") + 6] else raw
            content.update(b"VOCB\0\0" + hashlib.sha256(raw).digest())
        block = body(b"ASST") if self.has(b"ASST") else bytes(4)
        for i in range(struct.unpack_from("<I", block)[0]):
            kind, length = struct.unpack_from("<IH", block, 8 + 64 * i)
            name = struct.unpack_from("<Q", block, 64 + 64 * i)[0]
            if kind == 1:
                content.update(b"ASST" + struct.pack("<H", length) + block[name:name + length])
                content.update(block[32 + 64 * i:64 + 64 * i])
        self.put(48, content.digest())
        return self.put(80, weights.digest())

    def write(self, folder, name="a.eet"):
        (folder / name).write_bytes(self.repair().data)
        return folder / name


def asset_block(items):
    """Section ASST with these (kind, name, bytes), in this order."""
    name_at = 8 + 64 * len(items)
    at = name_at + sum(len(name) for _, name, _ in items)
    table, names, bodies = b"", b"", b""
    for kind, name, body in items:
        pad = -at % 8
        bodies += bytes(pad) + body
        table += struct.pack("<IHHQQ", kind, len(name), 0, at + pad, len(body))
        table += hashlib.sha256(body).digest() + struct.pack("<Q", name_at + len(names))
        names += name
        at += pad + len(body)
    return struct.pack("<II", len(items), 0) + table + names + bodies


# --- what comes in -------------------------------------------------------------------------------


def one(change, path=GOLDEN):
    """One file, changed."""

    def make(folder):
        file = File(path)
        change(file)
        return [file.write(folder)]

    return make


def two(change, path=GOLDEN):
    """The file as it is, and changed."""

    def make(folder):
        file = File(path)
        change(file)
        return [path, file.write(folder, "b.eet")]

    return make


def named(*names):
    """Assets of these names."""
    return one(lambda f: f.assets([(2, name, b"x") for name in names]).digest())


def packed(block, raw_bytes=None, cut=0):
    """ASST compressed."""

    def change(f):
        body = zlib.compress(block, 9)
        body = body[:len(body) - cut]
        at, entry = f.section(b"ASST")[0], f.entry(b"ASST")
        assert len(body) <= 4096
        f.data[at:at + 4096] = body.ljust(4096, b"\0")
        f.put(entry + 6, b"\1").put(
            entry + 16, struct.pack("<QQ", len(body), raw_bytes or len(block)))

    return change


def claim_size(size):
    """The first asset says that it has so many bytes."""
    return one(lambda f: f.put(f.section(b"ASST")[0] + 24, struct.pack("<Q", size)))


def flip(name, fix_xxh3=True, fix_sha=False):
    """A bit of a tensor."""

    def change(f):
        at, _ = f.tensor_bytes(name)
        f.put(at, bytes([f.data[at] ^ 1]))
        if fix_xxh3:
            f.hash_tensor(name, fix_sha)
        if fix_sha:
            f.digest()

    return change


def late_flip(f):
    """Another SHA-256, and bytes that are not those of the XXH3."""
    lie("dec.norm.w")(f)
    flip("dec.norm.w", False)(f)


def lie(name):
    """A SHA-256 that is not that of the bytes, and digests that believe it."""

    def change(f):
        f.put(f.tensor(name) + 112, b"\x5a" * 32)
        f.digest()

    return change


def vocabulary(body):
    def change(f):
        f.assets([(2, b"config.json", b'{"model_type": "gpt2"}\n'), (1, b"vocab.json", body)])
        f.digest()

    return change


def extra(role):
    """One tensor more, of a role that no one knows and no one needs: an alias of dec.norm.w."""

    def change(f):
        names, tensors = f.section(b"NAME"), f.section(b"TENS")
        target = f.tensor("dec.norm.w")
        entry = bytearray(f.data[target:target + 192])
        struct.pack_into("<IH", entry, 0, names[1], 8)
        struct.pack_into("<Hh", entry, 76, role, 0)
        struct.pack_into("<II", entry, 80, 1, (target - tensors[0]) // 192)
        f.put(names[0] + names[1], b"zz.extra").put(sum(tensors), entry)
        for kind, size in ((b"NAME", names[1] + 8), (b"TENS", tensors[1] + 192)):
            f.put(f.entry(kind) + 16, struct.pack("<QQ", size, size))
        f.put(40, struct.pack("<I", tensors[1] // 192 + 1))
        f.digest()

    return change


def own_bytes(f):
    """The extra tensor has bytes of its own, which are not those of its XXH3."""
    at, entry = f.tensor("zz.extra"), f.entry(b"DATA")
    start, size = f.section(b"DATA")
    offset = -(-size // 256) * 256
    f.data += bytes(4096)
    f.put(32, struct.pack("<Q", len(f.data)))
    assert start + offset + 16 <= len(f.data)
    f.put(at + 56, struct.pack("<Q", offset)).put(at + 80, struct.pack("<II", 0, 0xFFFFFFFF))
    f.put(entry + 16, struct.pack("<QQ", offset + 16, offset + 16))
    f.put(at + 112, hashlib.sha256(bytes(16)).digest())
    f.digest()


def shared_nan(f):
    """A NaN in a tensor that has an alias."""
    f.put(f.tensor_bytes("dec.emb.tok")[0], struct.pack("<f", float("nan")))
    f.hash_tensor("dec.emb.tok", True).hash_tensor("head.lm.out.w", True).digest()


def words(body, pack=False):
    """ASST becomes VOCB, which this version carries and does not read."""

    def change(f):
        at, entry = f.section(b"ASST")[0], f.entry(b"ASST")
        stored = zlib.compress(body) if pack else body
        f.data[at:at + 4096] = stored.ljust(4096, b"\0")
        f.put(entry, b"VOCB").put(entry + 6, bytes([pack]))
        f.put(entry + 16, struct.pack("<QQ", len(stored), len(body)))
        f.digest()

    return change


def pair(first, second):
    """Two files, changed each in its way."""

    def make(folder):
        files = File(), File()
        first(files[0])
        second(files[1])
        return [files[0].write(folder, "a.eet"), files[1].write(folder, "b.eet")]

    return make


def link_folder(folder):
    """The folder of -o has links where the assets go."""
    target = folder / "victim"
    target.write_text("mine")
    out = folder.parent / "out" / "model.eet"
    out.mkdir()
    (out / "config.json").symlink_to(target)
    (out / "vocab.json").symlink_to("/nowhere/at/all")
    return [GOLDEN]


# --- what comes out ------------------------------------------------------------------------------


def gives(**assets):
    """Exactly these files, regular ones, with these bytes."""
    def check(_, output):
        found = {p.name.replace(".", "_").replace("-", "_"): p for p in output.iterdir()}
        assert set(found) == set(assets), f"extracted {sorted(found)}"
        for name, body in assets.items():
            assert stat.S_ISREG(found[name].lstat().st_mode), f"{name} is no file"
            assert found[name].read_bytes() == body, f"{name} has other bytes"

    return check


def victim_lives(folder, output):
    assert (folder / "victim").read_text() == "mine", "the link was followed"
    gives(config_json=b'{"model_type": "gpt2"}\n',
          vocab_json=b'{"a": 0, "b": 1, "c": 2, "d": 3, "<end>": 4}\n')(folder, output)


def extract(name, make, code, says="", **more):
    options = ("--extract",) + more.pop("options", ())
    return Case(93, name, make, code, says, command="eet-inspect", options=options, **more)


def diff(name, make, code, says="", options=(), **more):
    return Case(93, name, make, code, says, command="eet-diff", options=options, output=False,
                **more)


def verify(name, make, code, says="", options=()):
    return Case(93, name, make, code, says, command="eet-verify", options=options, output=False)


def whole(number, name, change, code, says=""):
    """A file whose bytes have all gone through something."""

    def make(folder: Path) -> list:
        (folder / "x.eet").write_bytes(change(GOLDEN.read_bytes()))
        return [folder / "x.eet"]

    return Case(number, name, make, code, says, command="eet-verify", output=False)


ROOM = tempfile.TemporaryDirectory(dir="/dev/shm")  # a filesystem in memory has files of any size


def sparse(size: int):
    def make(_) -> list:
        path = Path(ROOM.name) / "x.eet"
        path.touch()
        os.truncate(path, size)
        return [path]

    return make


def in_memory(_) -> list:
    path = Path(ROOM.name) / "good.eet"
    path.write_bytes(GOLDEN.read_bytes())
    return [path]


def locked(folder: Path) -> list:
    """Of mode 0, which binds all but root."""
    path = folder / "x.eet"
    path.write_bytes(GOLDEN.read_bytes())
    path.chmod(0)
    return [path]


BOMB = asset_block([(2, b"zeros", bytes(1 << 20))])
GRAMMAR = "its name is not [A-Za-z0-9_-]"

CASES = [
    whole(89, "line ends of text", lambda data: data.replace(b"\r\n", b"\n"), 4,
          "line ends were translated"),
    whole(89, "... the other way", lambda data: data.replace(b"\n", b"\r\n"), 4,
          "line ends were translated"),
    whole(89, "a byte order mark", lambda data: b"\xef\xbb\xbf" + data, 4,
          "a byte-order mark was put in front"),
    whole(89, "bytes swapped in pairs", lambda data: bytes(
        data[i ^ 1] for i in range(len(data))), 4, ""),
    Case(100, "a file of 2^46 + 1 bytes", sparse((1 << 46) + 1), 6, "at most 2^46",
         command="eet-verify", output=False),
    Case(100, "a checkpoint of 2^46 + 1 bytes", sparse((1 << 46) + 1), 4, "no checkpoint"),
    Case(100, "a file in memory", in_memory, 0, command="eet-verify", output=False),
    Case(100, "a file of mode 0", locked, 0 if os.geteuid() == 0 else 5, command="eet-verify",
         output=False),
    extract("name-parent", named(b"../x"), 4, GRAMMAR),
    extract("name-absolute", named(b"/etc/x"), 4, GRAMMAR),
    extract("name-hidden", named(b".bashrc"), 4, GRAMMAR),
    extract("name-dotdot", named(b".."), 4, GRAMMAR),
    extract("name-empty", named(b""), 4, GRAMMAR),
    extract("name-nul", named(b"a\0b"), 4, GRAMMAR),
    extract("name-escape", named(b"a\x1b[31m"), 4, GRAMMAR),
    extract("name-newline", named(b"a\nb"), 4, GRAMMAR),
    extract("name-utf8", named("\u202egpj.exe".encode()), 4, GRAMMAR),
    extract("name-space", named(b"a b"), 4, GRAMMAR),
    extract("name-backslash", named(b"..\\x"), 4, GRAMMAR),
    extract("name-long", named(b"x" * 129), 4, GRAMMAR),
    extract("name-longest", named(b"x" * 128), 0, check=gives(**{"x" * 128: b"x"})),
    extract("name-twice", named(b"a", b"a"), 4, "not in ascending order"),
    extract("name-case", named(b"CONFIG.JSON", b"config.json"), 2, "differ in case alone"),
    extract("name-case-one", named(b"CONFIG.JSON", b"config.json"), 0,
            options=("--extract=config.json",), check=gives(config_json=b"x")),
    extract("many", one(lambda f: f.put(f.section(b"ASST")[0], struct.pack("<I", 257))), 6,
            "257 assets"),
    extract("size-wraps", claim_size(2**64 - 1), 4, "asset 0"),
    extract("size-past-end", claim_size(4000), 4, "its bytes are misplaced"),
    extract("size-largest", claim_size((256 << 20) + 1), 4, "larger than 256 MiB"),
    extract("digest-wrong", one(lambda f: f.put(f.section(b"ASST")[0] + 32, bytes(32))), 4,
            'asset "config.json": its SHA-256 is wrong'),
    extract("functional-swapped",
            one(lambda f: f.assets([(2, b"config.json", b"{}"), (1, b"vocab.json", b"evil")])), 4,
            "the digest of the content is wrong"),
    extract("packed", one(packed(asset_block([(2, b"a", b"aa"), (1, b"vocab.json",
            b'{"a": 0, "b": 1, "c": 2, "d": 3, "<end>": 4}\n')]))), 0,
            check=gives(a=b"aa", vocab_json=b'{"a": 0, "b": 1, "c": 2, "d": 3, "<end>": 4}\n')),
    extract("packed-parent", one(packed(asset_block([(2, b"../x", b"x")]))), 4, GRAMMAR),
    extract("packed-short", one(packed(BOMB, cut=4)), 4, "does not end where its lengths say"),
    extract("packed-says-less", one(packed(BOMB, 1000)), 4, "does not end where its lengths say"),
    extract("packed-says-1g", one(packed(BOMB, 1 << 30)), 4, "more bytes than its compression"),
    extract("packed-says-more", one(packed(BOMB, (1 << 20) + 4096)), 4,
            "does not end where its lengths say"),
    extract("links-replaced", link_folder, 0, options=("--force",), check=victim_lives),
    diff("same", two(lambda f: None), 0),
    diff("bit-found", two(flip("dec.norm.w", fix_sha=True)), 1),
    diff("bit-behind-right-xxh3", two(flip("dec.norm.w")), 4,
         'tensor "dec.norm.w": its SHA-256 is wrong'),
    diff("bit-behind-wrong-xxh3", two(flip("dec.norm.w", False)), 4, "its SHA-256 is wrong"),
    diff("bit-in-what-differs", two(late_flip), 4,
         'b.eet: tensor "dec.norm.w": its checksum is wrong'),
    diff("bit-in-what-is-added", two(lambda f: (extra(0x0901)(f), own_bytes(f))), 4,
         'tensor "zz.extra": its checksum is wrong'),
    diff("digest-lies", two(lie("dec.norm.w")), 4, 'tensor "dec.norm.w": its SHA-256 is wrong'),
    diff("digest-lies-quick", two(lie("dec.norm.w")), 1, options=("--quick",)),
    diff("digest-stale-quick", two(lambda f: f.put(f.tensor("dec.norm.w") + 112, bytes(32))), 4,
         "the digest of the weights is wrong", options=("--quick",)),
    diff("header-lies", two(lambda f: f.put(48, bytes(32))), 4,
         "the digest of the content is wrong"),
    diff("vocabulary", two(vocabulary(b"{}")), 1),
    diff("informative", two(lambda f: f.assets([(2, b"config.json", b"{}"), (1, b"vocab.json",
         b'{"a": 0, "b": 1, "c": 2, "d": 3, "<end>": 4}\n')])), 0),
    diff("informative-asked", two(lambda f: f.assets([(2, b"config.json", b"{}"), (1, b"vocab.json",
         b'{"a": 0, "b": 1, "c": 2, "d": 3, "<end>": 4}\n')])), 1, options=("--provenance",)),
    diff("packed-same", two(packed(bytes(File().data[16384:16384 + 229]))), 0),
    diff("words-same", pair(words(b"one two"), words(b"one two")), 0),
    diff("words-packed", pair(words(b"one two"), words(b"one two", True)), 0),
    diff("words-differ", pair(words(b"one two"), words(b"one too")), 1, "",
         options=("--metadata-only",)),
    diff("words-added", two(words(b"one two")), 1, options=("--quick",)),
    diff("words-packed-badly", pair(words(b"one two"), lambda f: (words(b"one two", True)(f),
         f.put(f.section(b"VOCB")[0] + 4, b"\xff\xff"))), 4, "does not end where its lengths say"),
    diff("role", pair(extra(0x0901), extra(0x0902)), 1, options=("--quick",)),
    diff("role-same", pair(extra(0x0901), extra(0x0901)), 0),
    verify("deep-alias", one(shared_nan), 1, "1 NaN, 0 infinite, in 1 tensor", ("--deep",)),
    verify("deep-nan", lambda folder: [NAN], 1, "1 NaN, 1 infinite", options=("--deep",)),
]
