#!/usr/bin/env python3
"""python_overhead.py BUILD FOLDER [DEVICE] - what Python adds to a call of the library, on the smallest
model: the time of a call from Python, less that of the same call made with everything prepared (which
is ctypes' own cost beside C: "foreign call"). Microseconds, the fastest of several runs. FOLDER may
have gpt2_tiny.eet already. DEVICE: cpu, or cuda, where a call is that of arrays which lie there."""
import ctypes
import os
import sys
import timeit

BUILD, FOLDER = os.path.abspath(sys.argv[1]), sys.argv[2]
DEVICE = sys.argv[3] if len(sys.argv) > 3 else "cpu"
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
os.environ["EET_LIBRARY"] = os.path.join(BUILD, "lib", "libeet.so.1")
os.environ["EET_BIN"] = os.path.join(BUILD, "bin")
sys.path.insert(0, os.path.join(ROOT, "python_shim"))

import eet  # noqa: E402 (where it is, is said above)
from eet import _arrays, _rows, _structs  # noqa: E402
from eet._library import lib  # noqa: E402

CALLS, RUNS, TOKENS = 500, 15, 60


def fastest(function, calls=CALLS):
    """Microseconds of a call."""
    return min(timeit.repeat(function, number=calls, repeat=RUNS)) / calls * 1e6


def frameworks():
    """(name, one int32 token, f32 memory for one row of scores)"""
    found = []
    try:
        import numpy

        found.append(("numpy", numpy.array([1], "i4"), lambda n: numpy.zeros((1, n), "f4")))
    except ImportError:
        pass
    try:
        import torch

        found.append(("torch", torch.tensor([1], dtype=torch.int32), lambda n: torch.zeros(1, n)))
        if DEVICE != "cpu":
            found.append(("torch there", torch.tensor([1], device=DEVICE),
                          lambda n: torch.zeros(1, n, device=DEVICE)))
    except ImportError:
        pass
    return found


def steps(session, width):
    """Steps of one token."""
    ids = _arrays.empty("eet", (1,), _arrays.DTYPES["i32"])[0]
    out, pointer = _arrays.empty("eet", (1, width), _arrays.DTYPES["f32"])
    rows = _rows.pack(ids)
    structs = (_structs.Output * 1)()
    structs[0].size, structs[0].take = ctypes.sizeof(_structs.Output), 2
    structs[0].data, structs[0].bytes = pointer, out.nbytes
    batch, error, handle = ctypes.byref(rows.batch), session._error, session._handle

    def timed(step):
        def both():
            step()
            lib.eet_sequence_trim(handle, 0, 0, error)

        return fastest(both)

    base = timed(lambda: lib.eet_step(handle, batch, structs, 1, error))
    print(f"{'one step, foreign call':34}{base:8.1f} us")
    bound = session.bind(ids, outputs=("lm", "last"))
    calls = [("bound arrays", bound), ("lists", lambda: session.step([1], outputs=("lm", "last")))]
    for name, token, memory in frameworks():
        if "there" in name:
            calls.append(("bound, out= there", session.bind(ids, outputs=eet.Output(
                "lm", "last", out=memory(width)))))
        wanted = eet.Output("lm", "last", out=memory(width))
        calls.append((f"{name}, out=", lambda t=token, w=wanted: session.step(t, outputs=w)))
        calls.append((f"{name}, result of its own",
                      lambda t=token: session.step(t, outputs=("lm", "last"))))
    for name, call in calls:
        print(f"{'  ' + name:34}{timed(call) - base:+8.1f} us")


def generation(generator):
    """Whole generations: Python's loop over the library's steps, less the same loop in ctypes."""
    session = generator.session
    options = _structs.GenerateOptions(ctypes.sizeof(_structs.GenerateOptions))
    options.max_new_tokens, options.ignore_eos = TOKENS, 1
    rows = _rows.pack([[1, 2, 3]])
    events = (_structs.Event * 64)()
    count, out = ctypes.c_int32(), ctypes.c_void_p()

    def raw():
        lib.eet_sequence_trim(session._handle, 0, 0, session._error)
        lib.eet_generate_begin(session._handle, ctypes.byref(rows.batch), ctypes.byref(options),
                               ctypes.byref(out), session._error)
        while True:
            lib.eet_generate_next(out, events, 64, ctypes.byref(count), session._error)
            if count.value == 0:
                break
        lib.eet_generate_end(out)

    base = fastest(raw, 20)
    whole = fastest(lambda: generator.generate([1, 2, 3], max_new_tokens=TOKENS, ignore_eos=True),
                    20)
    print(f"{f'generate {TOKENS} tokens, foreign calls':34}{base:8.1f} us")
    print(f"{'  generate()':34}{whole - base:+8.1f} us, {(whole - base) / TOKENS:.2f} a token")


def drop_in(path, session, width):
    """A whole call of a class that stands in for Transformers'; its ids and scores are torch's."""
    import torch
    from eet.transformers import AutoModelForCausalLM

    ids = torch.tensor([[1]], device=DEVICE)
    out = torch.zeros(1, width)
    rows = _rows.pack([1])
    structs = (_structs.Output * 1)()
    structs[0].size, structs[0].data = ctypes.sizeof(_structs.Output), out.data_ptr()
    structs[0].bytes = out.numel() * 4
    batch, error, handle = ctypes.byref(rows.batch), session._error, session._handle
    model = AutoModelForCausalLM.from_pretrained(path, device=DEVICE)
    base = fastest(lambda: lib.eet_encode(handle, batch, structs, 1, error))
    whole = fastest(lambda: model(ids, use_cache=False).logits)
    print(f"{'one encode, foreign call':34}{base:8.1f} us")
    print(f"{'  AutoModelForCausalLM()':34}{whole - base:+8.1f} us")


def main():
    path = os.path.join(FOLDER, "gpt2_tiny.eet")
    if not os.path.exists(path):
        eet.convert(os.path.join(ROOT, "fixtures", "checkpoints", "gpt2_tiny"), path)
    with eet.load(path, device=DEVICE) as model, model.session(threads=1) as session:
        steps(session, model.vocab_size)
        if any(name == "torch" for name, _, _ in frameworks()):
            drop_in(path, session, model.vocab_size)
        with eet.Generator(model, threads=1) as generator:
            generation(generator)


main()
