#!/usr/bin/env python3
"""python_overhead.py BUILD FOLDER [DEVICE] - what Python adds to a call of the library, on the smallest
model: the time of a call from Python, less that of the same call made with everything prepared (which
is ctypes' own cost beside C: "foreign call"). Microseconds, the fastest of several runs. BUILD may be what
make gpu-pack made, FOLDER may have the model already. DEVICE: cpu, or cuda, where more calls are those of
arrays which lie there."""
import ctypes
import os
import sys
import timeit

BUILD, FOLDER = os.path.abspath(sys.argv[1]), sys.argv[2]
DEVICE = sys.argv[3] if len(sys.argv) > 3 else "cpu"
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LIBRARIES = [os.path.join(BUILD, folder, "libeet.so.1") for folder in ("lib", "")]
os.environ["EET_LIBRARY"] = next(filter(os.path.exists, LIBRARIES), LIBRARIES[0])
os.environ["EET_BIN"] = os.path.join(BUILD, "bin")
sys.path.insert(0, os.path.join(ROOT, "python_shim"))

import eet  # noqa: E402 (where it is, is said above)
from eet import _arrays, _rows, _streams, _structs  # noqa: E402
from eet._library import lib  # noqa: E402

CALLS, RUNS, TOKENS = 500, 15, 60


def fastest(functions, calls=CALLS):
    """Microseconds of a call of each; rounds in which all take their turn, so that the machine is the
    same for all."""
    took = [[] for _ in functions]
    for _ in range(RUNS):
        for function, times in zip(functions, took):
            times.append(timeit.timeit(function, number=calls))
    return [min(times) / calls * 1e6 for times in took]


def show(base, calls, number=CALLS):
    """Prints what `calls`, pairs of words and a function, take more than the pair `base`."""
    first, *others = fastest([function for _, function in (base, *calls)], number)
    print(f"{base[0]:40}{first:8.1f} us")
    for (words, _), took in zip(calls, others):
        print(f"{'  ' + words:40}{took - first:+8.1f} us")
    return first, others


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


class Foreign:
    """The library's own step of one token, with everything prepared: its output in the host's memory or,
    `there`, on the device; `ids` then lie there, too, and come to the host behind the caller's stream."""

    def __init__(self, session, width, there=None, ids=None):
        out, pointer = (None, there.data_ptr()) if there is not None else _arrays.empty(
            "eet", (1, width), _arrays.DTYPES["f32"])
        self.rows = _rows.pack([1])
        self.structs = (_structs.Output * 1)()
        one = self.structs[0]
        one.size, one.take = ctypes.sizeof(_structs.Output), 2
        one.data, one.bytes, one.memory = pointer, 4 * width, int(there is not None)
        self.batch, self.error, self.handle = ctypes.byref(self.rows.batch), session._error, session._handle
        self.out, self.there, self.ids = out, there, ids
        self.near = (ctypes.c_int64 * 1)()

    def __call__(self):
        if self.ids is not None:
            lib.eet_session_wait(self.handle, _streams.LEGACY, self.error)
            lib.eet_session_fetch(self.handle, self.near, self.ids.data_ptr(), 8, self.error)
        lib.eet_step(self.handle, self.batch, self.structs, 1, self.error)


def trimmed(session, step):
    """A step whose token is taken back."""
    error, handle = session._error, session._handle

    def both():
        step()
        lib.eet_sequence_trim(handle, 0, 0, error)

    return both


def steps(session, width):
    """Steps of one token."""
    ids = _arrays.empty("eet", (1,), _arrays.DTYPES["i32"])[0]
    bound = session.bind(ids, outputs=("lm", "last"))
    calls = [("bound arrays", bound), ("lists", lambda: session.step([1], outputs=("lm", "last")))]
    for name, token, memory in frameworks():
        if "there" in name:
            calls.append(("foreign call, output there", Foreign(session, width, memory(width))))
            calls.append(("foreign calls, ids there too", Foreign(session, width, memory(width), token)))
            calls.append(("bound, out= there", session.bind(ids, outputs=eet.Output(
                "lm", "last", out=memory(width)))))
        wanted = eet.Output("lm", "last", out=memory(width))
        calls.append((f"{name}, out=", lambda t=token, w=wanted: session.step(t, outputs=w)))
        calls.append((f"{name}, result of its own",
                      lambda t=token: session.step(t, outputs=("lm", "last"))))
    show(("one step, foreign call", trimmed(session, Foreign(session, width))),
         [(words, trimmed(session, call)) for words, call in calls])


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

    base, (whole,) = show(
        (f"generate {TOKENS} tokens, foreign calls", raw),
        [("generate()", lambda: generator.generate([1, 2, 3], max_new_tokens=TOKENS,
                                                   ignore_eos=True))], 20)
    print(f"{'  generate(), of each token':40}{(whole - base) / TOKENS:+8.2f} us, "
          f"{100 * (whole - base) / base:.1f} %")


def drop_in(path, session, width):
    """A whole call of a class that stands in for Transformers'; its ids and scores are torch's."""
    import torch
    from eet.transformers import AutoModelForCausalLM

    ids = torch.tensor([[1]], device=DEVICE)
    with AutoModelForCausalLM.from_pretrained(path, device=DEVICE) as model:
        show(("one step, foreign call", trimmed(session, Foreign(session, width))),
             [("AutoModelForCausalLM()", lambda: model(ids).logits),
              ("AutoModelForCausalLM(), no cache", lambda: model(ids, use_cache=False).logits)])


def main():
    paths = [os.path.join(FOLDER, name) for name in ("gpt2_tiny.eet", "gpt2_tiny.f32.eet")]
    path = next(filter(os.path.exists, paths), paths[0])
    if not os.path.exists(path):
        eet.convert(os.path.join(ROOT, "fixtures", "checkpoints", "gpt2_tiny"), path)
    with eet.load(path, device=DEVICE) as model, model.session(threads=1) as session:
        steps(session, model.vocab_size)
        if any(name == "torch" for name, _, _ in frameworks()):
            drop_in(path, session, model.vocab_size)
        with eet.Generator(model, threads=1) as generator:
            generation(generator)


main()
