#!/usr/bin/env python3
"""libeet on a CUDA device against the strongest torch, in one process: make gpu-bench. Every cell first checks that
both give the same tokens or hidden states, then times both in turns; each is a JSON line in the log, from which
report.py makes the tables of docs/performance.md.

  python3 bench.py --eet LIBEET.SO --convert EET-CONVERT|CONVERT.TAR.GZ [--log FILE [--resume]] [--only NAME ...]
                   [--skip NAME ...] [--rounds N] [--budget SECONDS] [--list]
"""

import argparse
import gc
import json
import os
import sys
import time

DECODE = [("gpt2", 1), ("gpt2", 4), ("gpt2-medium", 1), ("gpt2-medium", 4), ("gpt2-medium", 16), ("gpt2-medium", 64),
          ("gpt2-xl", 1), ("gpt2-xl", 4)]
PREFILL = [(1, 1024), (4, 1024), (1, 16384)]
ENCODE = [(1, 128), (8, 128), (32, 128), (32, 384), (32, 512)]
GRID = [(rows, tokens) for rows in (4, 10) for tokens in (32, 64, 128, 256, 512)]
HIDDEN = [512, 768, 1024, 1536, 2048, 2560, 4096, 5120, 8192, 12288, 16384]
AT_WISH = ("transformers",)  # cells that only --only runs: minutes of compiling for a peer that is never the best


def cells():
    """(name, function of cells.py, its arguments), those of a model together."""
    table = [(f"decode {n} {b}", "decode", (n, b)) for n, b in DECODE]
    table += [(f"prefill {b} {t}", "texts_of", ("gpt2-medium", b, t)) for b, t in PREFILL]
    table += [(f"stream {n} {b}", "stream", (n, b)) for n, b in (("gpt2", 1), ("gpt2-medium", 64))]
    table += [(f"contexts {n}", "contexts", (n,)) for n in ("gpt2-medium", "gpt2-medium-1")]
    table += [(f"load {n}", "load", (n,)) for n in ("gpt2", "gpt2-medium", "gpt2-xl")]
    for name in ("bert-base", "bert-large"):
        table += [(f"encode {name} {b} {t}", "texts_of", (name, b, t)) for b, t in ENCODE]
        table += [(f"ragged {name}", "ragged", (name,))]
    table += [(f"grid {b} {t}", "texts_of", ("bert-base", b, t)) for b, t in GRID]
    table += [("transformers decode gpt2 1", "compiled_decode", ("gpt2", 1)),
              ("transformers decode gpt2-medium 4", "compiled_decode", ("gpt2-medium", 4))]
    table += [(f"transformers encode bert-base {b} {t}", "compiled_encode", ("bert-base", b, t)) for b, t in ENCODE]
    order = {"gpt2": 0, "bert-base": 1, "gpt2-medium": 2, "bert-large": 3, "gpt2-xl": 4, "gpt2-medium-1": 5}
    table.sort(key=lambda one: order[one[2][0]])
    return table + [(f"hidden {h}", "decode", (f"layer-{h}", 4)) for h in HIDDEN]


def wanted(name, o):
    chosen = [one for one in o.only if name.startswith(one)]
    if any(name.startswith(one) for one in o.skip) or (o.only and not chosen):
        return False
    return bool(chosen) or not name.startswith(AT_WISH)


class Bench:
    """What cells are given, and where their lines go."""

    def __init__(self, o):
        import torch
        import transformers

        import models
        import stub
        from cells import limits
        torch.set_grad_enabled(False)
        library = stub.Library(os.path.abspath(o.eet))
        self.rounds, self.log = o.rounds, o.log
        self.about = {"commit": o.commit, "card": torch.cuda.get_device_name()}
        self.done = self.read_done() if o.resume else set()
        self.models = models.Models(library, os.path.abspath(o.convert))
        self.read, self.gemm = limits()
        self.say(cell="limits", torch=torch.__version__, transformers=transformers.__version__, eet=library.version(),
                 read_gb_s=self.read, gemm_tflop_s=self.gemm, rounds=self.rounds)

    @staticmethod
    def tidy():
        import torch
        torch._dynamo.reset()
        gc.collect()
        torch.cuda.empty_cache()

    def read_done(self):
        try:
            lines = [json.loads(line) for line in open(self.log, encoding="utf-8")]
        except FileNotFoundError:
            return set()
        return {one["cell"] for one in lines
                if "failed" not in one and all(one[key] == value for key, value in self.about.items())}

    def say(self, **fields):
        line = json.dumps({**fields, **self.about, "date": time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())})
        print(line, flush=True)
        if self.log:
            with open(self.log, "a", encoding="utf-8") as file:
                file.write(line + "\n")


def run(o):
    import cells as functions
    begun, bench, failed = time.monotonic(), Bench(o), 0
    for name, function, arguments in cells():
        if not wanted(name, o) or name in bench.done:
            continue
        if o.budget and time.monotonic() - begun > o.budget:
            print(f"not reached: {name}", file=sys.stderr)
            failed += 1
            continue
        before = time.monotonic()
        try:
            fields = getattr(functions, function)(bench, *arguments)
        except Exception as error:  # one cell must not take the others along
            fields, failed = {"failed": f"{type(error).__name__}: {error}"[:400]}, failed + 1
        bench.say(cell=name, seconds=round(time.monotonic() - before, 1), **fields)
        bench.tidy()
    bench.models.close()
    return failed


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--eet", default=f"{here}/../libeet.so.1")
    parser.add_argument("--convert", default=f"{here}/convert.tar.gz")
    parser.add_argument("--commit", default="")
    parser.add_argument("--log")
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--skip", nargs="*", default=[])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--budget", type=float)
    parser.add_argument("--list", action="store_true")
    o = parser.parse_args()
    if o.list:
        print("\n".join(name for name, _, _ in cells() if wanted(name, o)))
        return 0
    if not o.commit:
        file = f"{here}/../commit"
        o.commit = open(file, encoding="utf-8").read().strip() if os.path.exists(file) else "unknown"
    if o.log and not o.resume:
        open(o.log, "w", encoding="utf-8").close()
    return 1 if run(o) else 0


if __name__ == "__main__":
    sys.exit(main())
