"""The least of a binding of libeet.so that a benchmark needs: ids in, tokens or device arrays out."""

import ctypes as C

HOST, CUDA = 0, 1
F32, F16, BF16 = 1, 2, 3
HIDDEN = -1
FIRST, LAST, EVERY = 1, 2, 3

i32, u32, u64, ptr = C.c_int32, C.c_uint32, C.c_uint64, C.c_void_p


def struct(name, *fields):
    return type(name, (C.Structure,), {"_fields_": [("size", u32), *fields]})


ModelOptions = struct("ModelOptions", *[(n, i32) for n in ("device", "device_index", "dtype", "verify", "load")])
SessionOptions = struct("SessionOptions", *[(n, i32) for n in (
    "threads", "max_sequences", "max_tokens", "max_batch_tokens", "cache_tokens", "max_sources",
    "source_tokens", "max_outputs", "cache_dtype")])
MemoryNeed = struct("MemoryNeed", ("reserved", i32), ("cache", u64), ("workspace", u64), ("host", u64))
Batch = struct("Batch", ("rows", i32), *[(n, ptr) for n in ("start", "tokens", "types", "positions", "sequence", "source")])
Output = struct("Output", *[(n, i32) for n in ("head", "take", "dtype", "memory", "count")], ("at", ptr),
                ("data", ptr), ("bytes", u64))
GenerateOptions = struct("GenerateOptions", *[(n, i32) for n in ("head", "max_new_tokens", "ignore_eos", "stop_count", "top_k")],
                         ("stop", ptr), ("temperature", C.c_double), ("top_p", C.c_double),
                         ("repetition_penalty", C.c_double), ("min_new_tokens", i32), ("beams", i32), ("seed", u64),
                         ("stream", ptr), ("length_penalty", C.c_double), ("early_stopping", i32), ("top_n", i32))


class Event(C.Structure):
    _fields_ = [("row", i32), ("token", i32), ("position", i32), ("finish", i32), ("log_prob", C.c_float), ("reserved", i32)]


class Error(C.Structure):
    _fields_ = [("status", i32), ("reserved", i32), ("offset", u64), ("text", C.c_char * 496)]


def make(kind, **fields):
    return kind(size=C.sizeof(kind), **fields)


def ints(values):
    return (i32 * len(values))(*values)


class Library:
    def __init__(self, path):
        self.c = C.CDLL(path)

    def version(self):
        self.c.eet_version.restype = C.c_char_p
        return self.c.eet_version().decode()

    def must(self, function, *arguments):
        error = Error()
        if getattr(self.c, function)(*arguments, C.byref(error)) != 0:
            raise RuntimeError(f"{function}: {error.text.decode()}")

    def open(self, path, device=CUDA, dtype=0):
        model = ptr()
        self.must("eet_model_open", path.encode(), C.byref(make(ModelOptions, device=device, dtype=dtype)), C.byref(model))
        return model

    def close(self, model):
        self.c.eet_model_close(model)

    def session(self, model, **options):
        return Session(self, model, make(SessionOptions, **options))


class Session:
    def __init__(self, library, model, options):
        self.lib, self.s = library, ptr()
        library.must("eet_session_create", model, C.byref(options), C.byref(self.s))

    def close(self):
        self.lib.c.eet_session_destroy(self.s)
        self.s = ptr()

    @staticmethod
    def batch(rows):
        start = [0]
        for row in rows:
            start.append(start[-1] + len(row))
        keep = (ints(start), ints([t for row in rows for t in row]))
        batch = make(Batch, rows=len(rows), start=C.addressof(keep[0]), tokens=C.addressof(keep[1]))
        batch.keep = keep
        return batch

    @staticmethod
    def output(data, count, head=HIDDEN, take=0, dtype=F32, memory=HOST):
        """`data` an address with room for `count` values."""
        return make(Output, head=head, take=take, dtype=dtype, memory=memory, data=data, bytes=count * (4 if dtype == F32 else 2))

    def encode(self, batch, output):
        self.lib.must("eet_encode", self.s, C.byref(batch), C.byref(output), 1)

    def step(self, batch, output):
        self.lib.must("eet_step", self.s, C.byref(batch), C.byref(output), 1)

    def trim(self, sequence, length):
        self.lib.must("eet_sequence_trim", self.s, sequence, length)

    def generate(self, batch, new_tokens, room=256):
        """Greedy, to the end: a list of tokens a row, taken `room` at a time. The sequences are emptied afterwards."""
        generation = ptr()
        options = make(GenerateOptions, max_new_tokens=new_tokens, ignore_eos=1)
        self.lib.must("eet_generate_begin", self.s, C.byref(batch), C.byref(options), C.byref(generation))
        events, count = (Event * room)(), i32(1)
        rows = [[] for _ in range(batch.rows)]
        while count.value > 0:
            self.lib.must("eet_generate_next", generation, events, room, C.byref(count))
            for event in events[:count.value]:
                rows[event.row].append(event.token)
        self.lib.c.eet_generate_end(generation)
        for row in range(batch.rows):
            self.trim(row, 0)
        return rows
