"""Makes small checkpoints by hand, good ones and wrong ones, with the standard library alone.

    tensors = state_dict()                              a tiny GPT-2 with its language-model head
    write_zip(folder / "pytorch_model.bin", tensors)    as torch.save writes it
    write_safetensors(folder / "model.safetensors", tensors)
    write_config(folder / "config.json", n_head=4)

Tensors are a dict of name -> (dtype, shape, bytes), or -> View where offset, stride or storage
are not the plain ones. Tensors that hold the very same bytes object share one storage.
"""
import collections
import dataclasses
import io
import json
import pickle
import random
import struct
import zlib
from pathlib import Path

CONFIG = {
    "activation_function": "gelu_new", "architectures": ["GPT2LMHeadModel"], "bos_token_id": 2,
    "eos_token_id": 2, "layer_norm_epsilon": 1e-05, "model_type": "gpt2", "n_embd": 8, "n_head": 2,
    "n_inner": None, "n_layer": 1, "n_positions": 8, "reorder_and_upcast_attn": False,
    "scale_attn_by_inverse_layer_idx": False, "scale_attn_weights": True,
    "tie_word_embeddings": True, "vocab_size": 16,
}

# dtype -> bytes, storage class of torch (None: untyped, by _rebuild_tensor_v3), safetensors' name
DTYPES = {
    "float64": (8, "DoubleStorage", "F64"), "float32": (4, "FloatStorage", "F32"),
    "float16": (2, "HalfStorage", "F16"), "bfloat16": (2, "BFloat16Storage", "BF16"),
    "int64": (8, "LongStorage", "I64"), "int32": (4, "IntStorage", "I32"),
    "int16": (2, "ShortStorage", "I16"), "int8": (1, "CharStorage", "I8"),
    "uint8": (1, "ByteStorage", "U8"), "bool": (1, "BoolStorage", "BOOL"),
    "complex64": (8, "ComplexFloatStorage", "C64"), "complex128": (16, "ComplexDoubleStorage", ""),
    "uint16": (2, None, "U16"), "uint32": (4, None, "U32"), "uint64": (8, None, "U64"),
    "float8_e4m3fn": (1, None, "F8_E4M3"), "float8_e5m2": (1, None, "F8_E5M2"),
}


def product(shape) -> int:
    count = 1
    for length in shape:
        count *= length
    return count


def random_tensor(seed: str, shape, mean=0.0, spread=0.2):
    draw = random.Random(seed)
    values = [mean + draw.uniform(-spread, spread) for _ in range(product(shape))]
    return "float32", tuple(shape), struct.pack(f"<{len(values)}f", *values)


def state_dict(config=None, prefix="transformer.") -> dict:
    """A GPT-2 of the sizes in `config` (CONFIG's where it is silent); the head is tied."""
    config = {**CONFIG, **(config or {})}
    width = config["n_embd"]
    inner = config["n_inner"] or 4 * width
    shapes = {"wte.weight": (config["vocab_size"], width),
              "wpe.weight": (config["n_positions"], width)}
    for i in range(config["n_layer"]):
        for name, shape in (("ln_1", (width,)), ("attn.c_attn", (width, 3 * width)),
                            ("attn.c_proj", (width, width)), ("ln_2", (width,)),
                            ("mlp.c_fc", (width, inner)), ("mlp.c_proj", (inner, width))):
            shapes[f"h.{i}.{name}.weight"] = shape
            shapes[f"h.{i}.{name}.bias"] = shape[-1:]
    shapes["ln_f.weight"] = shapes["ln_f.bias"] = (width,)
    tensors = {}
    for name, shape in shapes.items():
        is_scale = ".ln_" in "." + name and name.endswith("weight")
        tensors[prefix + name] = random_tensor(name, shape, mean=1.0 if is_scale else 0.0)
    tensors["lm_head.weight"] = tensors[prefix + "wte.weight"]
    return tensors


def write_config(path: Path, **fields) -> Path:
    """CONFIG with `fields`; a field of ... is left out."""
    config = {k: v for k, v in {**CONFIG, **fields}.items() if v is not ...}
    path.write_text(json.dumps(config, indent=2))
    return path


# --- pickles -----------------------------------------------------------------------------------


@dataclasses.dataclass(eq=False)
class Storage:
    """A storage as data.pkl names it; `data` is its record (None: there is no record)."""

    data: bytes | None
    dtype: str = "float32"
    numel: int | None = None        # as declared; None: what `data` holds
    key: str | None = None          # None: numbered in order of appearance
    location: str = "cpu"
    untyped: bool = False
    persistent_id: object = None    # the whole tuple instead
    view: object = None             # of another storage, as torch before 1.6 had it


@dataclasses.dataclass(eq=False)
class View:
    """A tensor that is not simply all of its storage."""

    storage: Storage
    shape: tuple
    stride: tuple | None = None     # None: contiguous
    offset: int = 0
    dtype: str | None = None        # for _rebuild_tensor_v3; None: the storage's, by v2
    hooks: object = None
    metadata: object = None


def contiguous(shape) -> tuple:
    stride, step = [], 1
    for length in reversed(shape):
        stride.append(step)
        step *= max(length, 1)
    return tuple(reversed(stride))


class Global:
    """Pickles as the global "module.name", which need not exist."""

    known = {}

    def __new__(cls, path):
        if path not in cls.known:
            cls.known[path] = made = super().__new__(cls)
            made.module, _, made.name = path.rpartition(".")
        return cls.known[path]

    def __call__(self):
        raise AssertionError("it is only written")


class Call:
    """Pickles as a call: REDUCE of a global on `args`, then BUILD with `state`."""

    def __init__(self, path, args=(), state=None):
        self.reduced = (Global(path), tuple(args)) + ((state,) if state is not None else ())

    def __reduce__(self):
        return self.reduced


class TorchPickler(pickle._Pickler):
    """Python's pickler written in Python: numbers storages as torch does, writes Globals."""

    dispatch = dict(pickle._Pickler.dispatch)

    def __init__(self, file, protocol, stream=False):
        super().__init__(file, protocol)
        self.storages = {}
        self.stream = stream

    def save_global_as_told(self, value):
        if self.proto >= 4:
            self.save(value.module)
            self.save(value.name)
            self.write(pickle.STACK_GLOBAL)
        else:
            self.write(pickle.GLOBAL + f"{value.module}\n{value.name}\n".encode())
        self.memoize(value)

    dispatch[Global] = save_global_as_told

    def persistent_id(self, obj):
        if not isinstance(obj, Storage):
            return None
        if obj.key is None:
            obj.key = str(len(self.storages))
        self.storages.setdefault(obj.key, obj)
        if obj.persistent_id is not None:
            return obj.persistent_id
        size, name, _ = DTYPES[obj.dtype]
        untyped = obj.untyped or name is None
        count = len(obj.data or b"") // (1 if untyped else size) if obj.numel is None else obj.numel
        where = "torch.storage.UntypedStorage" if untyped else f"torch.{name}"
        plain = ("storage", Global(where), obj.key, obj.location, count)
        return plain + (obj.view,) if self.stream else plain


def as_call(value, shared: dict):
    """What torch pickles for a tensor: a call of one of its rebuild functions."""
    if not isinstance(value, View):
        if not (isinstance(value, tuple) and len(value) == 3 and isinstance(value[2], bytes)):
            return value
        dtype, shape, data = value
        storage = shared.setdefault(id(data), Storage(data, dtype))
        value = View(storage, tuple(shape), dtype=dtype if DTYPES[dtype][1] is None else None)
    stride = contiguous(value.shape) if value.stride is None else value.stride
    hooks = collections.OrderedDict() if value.hooks is None else value.hooks
    args = [value.storage, value.offset, tuple(value.shape), tuple(stride), False, hooks]
    version = 2
    if value.dtype is not None:
        args.append(Global(f"torch.{value.dtype}"))
        version = 3
    if value.metadata is not None:
        args.append(value.metadata)
    return Call(f"torch._utils._rebuild_tensor_v{version}", args)


def write_pickle(tensors, protocol=2, stream=False):
    """data.pkl of a state dict: (bytes, storages by key). Values beside tensors may be anything
    that pickles, and so may `tensors` itself when it is no dict."""
    shared = {}
    graph = tensors
    if isinstance(tensors, dict):
        graph = collections.OrderedDict(
            (name, as_call(value, shared)) for name, value in tensors.items())
    file = io.BytesIO()
    pickler = TorchPickler(file, protocol, stream)
    pickler.dump(graph)
    return file.getvalue(), pickler.storages


# --- zip archives ------------------------------------------------------------------------------


@dataclasses.dataclass
class Entry:
    """One entry, told to lie where a field says so. Overrides of the local header are in
    `local`: name, flags, method, crc, size, packed_size."""

    name: str | bytes
    data: bytes = b""
    method: int = 0                 # 8 deflates `data`
    packed: bytes | None = None     # these bytes instead
    flags: int | None = None        # in both headers
    central_flags: int | None = None
    crc: int | None = None
    size: int | None = None
    packed_size: int | None = None
    descriptor: bytes | None = None # these bytes instead of the right ones
    local: dict = dataclasses.field(default_factory=dict)
    offset: int | None = None       # of the local header, as the central directory has it
    no_local: bool = False          # only a line of the central directory
    no_central: bool = False


def raw_deflate(data: bytes) -> bytes:
    made = zlib.compressobj(9, zlib.DEFLATED, -15)
    return made.compress(data) + made.flush()


def zip_bytes(entries, torch_style=True, align=64, comment=b"", tail=b"", head=b"", end=None,
              zip64=None, locator_offset=None) -> bytes:
    """An archive. torch_style: sizes in descriptors, data aligned by an "FB" field, zip64 end
    records; otherwise as zipfile writes. `end` and `zip64` override fields of the end records:
    count, bytes, offset (and disk for `end`)."""
    out, directory = bytearray(head), bytearray()
    count = 0
    for entry in entries:
        name = entry.name.encode() if isinstance(entry.name, str) else entry.name
        packed = entry.packed
        if packed is None:
            packed = raw_deflate(entry.data) if entry.method == 8 else entry.data
        described = torch_style and len(packed) > 0
        flags = entry.flags
        if flags is None:
            flags = (0x0808 if described else 0x0800) if torch_style else 0
        crc = zlib.crc32(entry.data) if entry.crc is None else entry.crc
        size = len(entry.data) if entry.size is None else entry.size
        packed_size = len(packed) if entry.packed_size is None else entry.packed_size
        offset = len(out)
        if not entry.no_local:
            local = {"name": name, "flags": flags, "method": entry.method, "crc": crc,
                     "size": size, "packed_size": packed_size}
            if described:
                local |= {"crc": 0, "size": 0, "packed_size": 0}
            local |= entry.local
            extra = b""
            if torch_style and align > 1:
                room = -(offset + 30 + len(local["name"]) + 4) % align
                extra = b"FB" + struct.pack("<H", room) + b"Z" * room
            out += struct.pack("<IHHHHHIIIHH", 0x04034B50, 0, local["flags"], local["method"], 0, 0,
                               local["crc"], local["packed_size"], local["size"],
                               len(local["name"]), len(extra)) + local["name"] + extra + packed
            if entry.descriptor is not None:
                out += entry.descriptor
            elif described:
                out += struct.pack("<IIII", 0x08074B50, crc, packed_size, size)
        if not entry.no_central:
            count += 1
            central = flags if entry.central_flags is None else entry.central_flags
            directory += struct.pack(
                "<IHHHHHHIIIHHHHHII", 0x02014B50, 0, 0, central, entry.method, 0, 0, crc,
                packed_size, size, len(name), 0, 0, 0, 0, 0,
                offset if entry.offset is None else entry.offset) + name
    return bytes(out) + end_of_archive(len(out), directory, count, torch_style, comment, end, zip64,
                                       locator_offset) + tail


def end_of_archive(start, directory, count, torch_style, comment, end, zip64, locator_offset):
    last = {"count": min(count, 0xFFFF), "bytes": len(directory), "offset": start, "disk": 0}
    large = {"count": count, "bytes": len(directory), "offset": start}
    out = bytes(directory)
    if torch_style or zip64 is not None or count > 0xFFFF:
        at = start + len(directory)
        large |= zip64 or {}
        out += struct.pack("<IQHHIIQQQQ", 0x06064B50, 44, 0x1E, 0, 0, 0, large["count"],
                           large["count"], large["bytes"], large["offset"])
        out += struct.pack("<IIQI", 0x07064B50, 0,
                           at if locator_offset is None else locator_offset, 1)
    last |= end or {}
    return out + struct.pack("<IHHHHIIH", 0x06054B50, last["disk"], last["disk"], last["count"],
                             last["count"], last["bytes"], last["offset"], len(comment)) + comment


def torch_entries(tensors, protocol=2, prefix="archive", byteorder="little", version="3\n",
                  records=None, pickled=None) -> list:
    """The entries of a torch archive. `records` overrides (or with None drops, or adds) members
    by their name below the prefix; `pickled` is data.pkl ready-made with its storages."""
    pickle_bytes, storages = pickled or write_pickle(tensors, protocol)
    members = {"data.pkl": pickle_bytes, ".format_version": b"1", ".storage_alignment": b"64"}
    if byteorder is not None:
        members["byteorder"] = byteorder.encode()
    for key, storage in storages.items():
        if storage.data is not None:
            members[f"data/{key}"] = storage.data
    if version is not None:
        members["version"] = version.encode()
    members[".data/serialization_id"] = b"0826864773560457770014210761659764705555"
    members |= records or {}
    return [Entry(f"{prefix}/{name}", data) for name, data in members.items() if data is not None]


def write_zip(path: Path, tensors, protocol=2, change=None, archive=None, **quirks) -> Path:
    """A torch zip. `change(entries)` may edit the list of entries in place (or return another),
    `archive` holds arguments of zip_bytes, `quirks` those of torch_entries."""
    entries = torch_entries(tensors, protocol, **quirks)
    if change is not None:
        entries = change(entries) or entries
    path.write_bytes(zip_bytes(entries, **(archive or {})))
    return path


# --- streams of before torch 1.6 -----------------------------------------------------------------

MAGIC = 0x1950A86A20F9469CFC6C
SYSTEM = {"protocol_version": 1001, "little_endian": True,
          "type_sizes": {"short": 2, "int": 4, "long": 4}}


@dataclasses.dataclass
class Stream:
    """The parts of a stream, to be changed before bytes() puts them together. `big` writes
    numbers of elements and data as a big-endian machine would."""

    tensors: object
    protocol: int = 2
    magic: object = MAGIC
    version: object = 1001
    system: object = dataclasses.field(default_factory=lambda: dict(SYSTEM))
    objects: bytes | None = None    # this pickle instead
    keys: object = None             # None: sorted, as torch does
    counts: dict = dataclasses.field(default_factory=dict)  # by key, instead of the right ones
    big: bool = False
    tail: bytes = b""

    def pickles(self) -> list:
        made, self.storages = write_pickle(self.tensors, self.protocol, stream=True)
        keys = sorted(self.storages) if self.keys is None else self.keys
        return [*(pickle.dumps(value, self.protocol)
                  for value in (self.magic, self.version, self.system)),
                made if self.objects is None else self.objects, pickle.dumps(keys, self.protocol)]

    def data(self) -> list:
        out = []
        for key in sorted(self.storages):
            storage = self.storages[key]
            size = DTYPES[storage.dtype][0] if not storage.untyped else 1
            count = self.counts.get(key, len(storage.data) // size)
            out.append(count.to_bytes(8, "big" if self.big else "little"))
            data = storage.data
            if self.big:
                data = b"".join(data[i:i + size][::-1] for i in range(0, len(data), size))
            out.append(data)
        return out

    def bytes(self) -> bytes:
        return b"".join(self.pickles() + self.data()) + self.tail


def write_stream(path: Path, tensors, **parts) -> Path:
    path.write_bytes(Stream(tensors, **parts).bytes())
    return path


# --- safetensors -------------------------------------------------------------------------------


def safetensors_bytes(tensors, metadata=None, header=None, change=None, pad=8, tail=b"",
                      length=None) -> bytes:
    """A safetensors file. Tensors that share their bytes are written once, under the first name.
    `change(table)` may edit the header's dict before it is written, `header` (bytes) replaces
    the whole header, `length` the number in front of it."""
    table, data, seen = {}, bytearray(), set()
    if metadata is not None:
        table["__metadata__"] = metadata
    for name, (dtype, shape, payload) in tensors.items():
        if id(payload) in seen:
            continue
        seen.add(id(payload))
        table[name] = {"dtype": DTYPES[dtype][2], "shape": list(shape),
                       "data_offsets": [len(data), len(data) + len(payload)]}
        data += payload
    if change is not None:
        table = change(table) or table
    text = json.dumps(table, separators=(",", ":")).encode() if header is None else header
    if header is None and pad > 1:
        text += b" " * (-(8 + len(text)) % pad)
    return struct.pack("<Q", len(text) if length is None else length) + text + bytes(data) + tail


def write_safetensors(path: Path, tensors, **quirks) -> Path:
    path.write_bytes(safetensors_bytes(tensors, **{"metadata": {"format": "pt"}, **quirks}))
    return path
