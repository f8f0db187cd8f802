#!/usr/bin/env python3
"""Where the time of a pass goes, kernel by kernel, of libeet and of the strongest torch (docs/performance.md): what
torch's profiler hears of CUPTI, microseconds from the end of one kernel to the end of the next, a layer in the middle.

  python3 where.py encode MODEL ROWS TOKENS | decode MODEL ROWS [CONTEXT]

A kernel may begin long before the one before it ends: `took` counts from there."""

import os
import statistics
import sys

import torch
import transformers  # noqa: F401 (before torch's profiler)
from torch.profiler import ProfilerActivity, profile

import models
import peers
import stub
from cells import in_turns, our_states
from models import SHAPES, is_bert, rows_of

PASSES, NEW = 6, 16


def name_of(event):
    name = event.name.replace("(anonymous namespace)::", "").replace("void ", "")
    return name.split("(")[0][:80]


def kernels_of(function, passes):
    """(end, took, name) of every kernel, in the order of their ends."""
    for _ in range(3):
        function()
    torch.cuda.synchronize()
    with profile(activities=[ProfilerActivity.CUDA]) as heard:
        for _ in range(passes):
            function()
        torch.cuda.synchronize()
    device = torch.autograd.DeviceType.CUDA
    spans = [(e.time_range.start, e.time_range.end, name_of(e)) for e in heard.events() if e.device_type == device]
    return sorted((end, end - begin, name) for begin, end, name in spans if not name.startswith("Mem"))


def median_pass(kernels, passes, skip):
    """The kernels of one pass: (since the last, took, name), medians over passes but the first `skip`."""
    each = len(kernels) // passes
    rows = []
    for i in range(each):
        places = [p * each + i for p in range(skip, passes) if p * each + i > 0]
        rows.append((statistics.median(kernels[k][0] - kernels[k - 1][0] for k in places),
                     statistics.median(kernels[k][1] for k in places), kernels[places[0]][2]))
    return rows


def show(title, rows, layers):
    each = len(rows) // layers
    first = layers // 2 * each
    print(f"{title}: {len(rows)} kernels, {sum(row[0] for row in rows[1:]):.1f} us")
    for since, took, name in rows[first:first + each + 1]:
        print(f"  {since:8.2f} took {took:8.2f}  {name}")


def encode(made, library, name, rows, tokens):
    model, eet = made.get(name)
    texts = rows_of([tokens] * rows, SHAPES[name][4])
    ids = torch.tensor(texts, device="cuda")
    bench = type("Bench", (), {"models": made})
    session, _, ours = our_states(bench, eet, texts, SHAPES[name][2])
    peer = peers.Bert(model).encode if is_bert(name) else peers.GPT2(model).prefill
    functions = {"eet": ours, "torch, compiled, in a graph": peers.captured(lambda: peer(ids, compiled=True)).replay}
    print({title: round(ms, 4) for title, ms in in_turns(3, functions).items()}, "ms")
    for title, function in functions.items():
        show(title, median_pass(kernels_of(function, PASSES), PASSES, 2), SHAPES[name][0])
    session.close()


def decode(made, library, name, rows, context=700):
    _, eet = made.get(name)
    session = library.session(eet, max_sequences=rows, max_tokens=context + 2 * NEW, max_batch_tokens=8192)
    batch = session.batch(rows_of([context] * rows, SHAPES[name][4]))
    kernels = kernels_of(lambda: session.generate(batch, NEW), 1)
    begins = [i for i, one in enumerate(kernels) if "add_tables" in one[2]][NEW // 2:-1]
    steps = len(begins) - 1
    step = median_pass(kernels[begins[0]:begins[-1]], steps, 1)
    show("eet", step, SHAPES[name][0])
    for since, took, what in step[-6:]:
        print(f"  {since:8.2f} took {took:8.2f}  {what}")
    session.close()


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    torch.set_grad_enabled(False)
    library = stub.Library(f"{here}/../libeet.so.1")
    made = models.Models(library, f"{here}/convert.tar.gz")
    what, name, *numbers = sys.argv[1:]
    {"encode": encode, "decode": decode}[what](made, library, name, *map(int, numbers))
    made.close()


if __name__ == "__main__":
    main()
