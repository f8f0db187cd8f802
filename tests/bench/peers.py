#!/usr/bin/env python3
"""peers.py BIN FOLDER [ROUNDS] - the same random weights in eet, onnxruntime and CTranslate2, f32, 2
threads: first whether all give the same answer, then who is faster. Medians of interleaved rounds;
each library has a process of its own that sleeps while others run.

The rest is for itself: peers.py --worker NAME MODEL FOLDER THREADS."""
import json
import os
import subprocess
import sys

import numpy

import peer_weights

THREADS, PROMPT, STEPS, ROUNDS = 2, 512, 128, 5
TEXTS = ((1, 128), (8, 128), (1, 384))
NAMES = ("eet", "onnxruntime", "CTranslate2")
AGREE = 1e-4  # relative L2 of two f32 libraries


def prompt():
    return [int(i) for i in peer_weights.ids("gpt2", 1, PROMPT)[0]]


# ---- the workers -----------------------------------------------------------------------------


class Eet:
    """Times come from eet-bench, values from eet-encode."""

    def __init__(self, model, folder, bins):
        self.model, self.folder, self.bins = model, folder, bins
        self.file = os.path.join(folder, f"{model}.eet")
        self.bounds = []  # milliseconds that reading a token's weights, keys and values takes

    def bench(self, *arguments):
        command = [f"{self.bins}/eet-bench", self.file, "-t", str(THREADS), "--format", "json", *arguments]
        return json.loads(subprocess.check_output(command))["results"]

    def values(self, rows):
        out = os.path.join(self.folder, "values.npy")
        head = ["--head", "lm"] if self.model == "gpt2" else ["--pooling", "none"]
        ids = [part for row in rows for part in ("--ids", ",".join(map(str, row)))]
        subprocess.check_call([f"{self.bins}/eet-encode", self.file, *head, *ids, "--format", "npy", "-o", out,
                               "--force"])
        values = numpy.load(out)
        return values[-1] if self.model == "gpt2" else values.reshape(len(rows), -1, values.shape[-1])

    def prefill(self):
        return self.bench("-p", str(PROMPT), "-n", "0", "-r", "2")[0]["ms"]["median"]

    def decode(self):
        result = self.bench("-p", "0", "-n", str(STEPS), "-d", str(PROMPT), "-r", "1")[0]
        self.bounds.append(1e3 * result["bytes"] / result["read_rate"])
        return result["ms"]["median"]

    def encode(self, rows, tokens):
        return self.bench("-b", str(rows), "-p", str(tokens), "-r", "3")[0]["ms"]["median"]


def worker(name, model, folder, threads):
    """Reads requests as lines of JSON, answers each with a line: milliseconds, or None."""
    if name == "onnxruntime":
        import peer_ort as library
        arguments = (threads,)
    else:
        import peer_ct2 as library
        arguments = (threads, os.path.join(folder, f"ct2-{model}"))
    it = (library.Gpt2 if model == "gpt2" else library.Bert)(*arguments)
    print("null", flush=True)
    for line in sys.stdin:
        what, *details = json.loads(line)
        answer = None
        if what == "values":
            rows = peer_weights.ids(model, *details)
            values = it.values([int(t) for t in rows[0]] if model == "gpt2" else rows)
            numpy.save(os.path.join(folder, f"{name}.npy"), values)
        elif what == "prefill":
            answer = numpy.median([it.prefill(prompt()) for _ in range(2)])
        elif what == "decode":
            answer = numpy.median(it.decode(prompt(), STEPS))
        elif what == "encode":
            rows = peer_weights.ids("bert", *details)
            answer = numpy.median([it.encode(rows) for _ in range(3)])
        print(json.dumps(None if answer is None else float(answer) * 1e3), flush=True)


class Peer:
    def __init__(self, name, model, folder):
        self.name, self.folder = name, folder
        self.process = subprocess.Popen(
            [sys.executable, os.path.abspath(__file__), "--worker", name, model, folder, str(THREADS)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.answer()

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"peers.py: {self.name} ended with {self.process.wait()}")
        return json.loads(line)

    def ask(self, *request):
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return self.answer()

    def values(self, rows, tokens):
        self.ask("values", rows, tokens)
        return numpy.load(os.path.join(self.folder, f"{self.name}.npy"))

    def end(self):
        self.process.stdin.close()
        self.process.wait()


# ---- the comparison --------------------------------------------------------------------------


def check(model, eet, peers, rows, tokens):
    """The last position's logits (the cache of onnxruntime takes part), or all hidden states."""
    ours = eet.values(peer_weights.ids(model, rows, tokens).tolist()).astype(numpy.float64)
    for peer in peers:
        theirs = peer.values(rows, tokens).astype(numpy.float64).reshape(ours.shape)
        off = numpy.linalg.norm(ours - theirs) / numpy.linalg.norm(theirs)
        print(f"{model} {rows} x {tokens}: eet against {peer.name}, relative L2 {off:.1e}", flush=True)
        if not off <= AGREE:
            raise SystemExit(f"peers.py: that is more than {AGREE:.0e}: nothing is timed")


def measure(tests, rounds):
    """tests: {name: [a call for each of NAMES]}; one to warm up, then round after round."""
    times = {name: [[] for _ in NAMES] for name in tests}
    for turn in range(rounds + 1):
        for name, calls in tests.items():
            for at, call in enumerate(calls):
                took = call()
                if turn > 0:
                    times[name][at].append(took)
    return times


def show(times):
    for name, lists in times.items():
        middle = [float(numpy.median(taken)) for taken in lists]
        ranges = [f"{m:.1f} ({min(t):.1f} .. {max(t):.1f})" for m, t in zip(middle, lists)]
        print(f"| {name:20} | " + " | ".join(f"{r:24}" for r in ranges)
              + f" | {middle[0] / min(middle[1:]):.2f} |", flush=True)


def compare(model, folder, bins, rounds):
    checkpoint = os.path.join(folder, model)
    peer_weights.save(model, checkpoint)
    subprocess.check_call([f"{bins}/eet-convert", checkpoint, "-q", "--force", "-o", os.path.join(folder, f"{model}.eet")],
                          stdout=subprocess.DEVNULL)
    eet = Eet(model, folder, bins)
    peers = [Peer(name, model, folder) for name in NAMES[1:]]
    check(model, eet, peers, 1, 40)
    if model == "bert":
        check(model, eet, peers, 3, 17)
        tests = {f"BERT-base {rows} x {tokens}": [
            lambda r=rows, t=tokens: eet.encode(r, t),
            *(lambda p=peer, r=rows, t=tokens: p.ask("encode", r, t) for peer in peers)]
            for rows, tokens in TEXTS}
    else:
        tests = {
            f"GPT-2 prefill {PROMPT}": [eet.prefill, *(lambda p=peer: p.ask("prefill") for peer in peers)],
            "GPT-2 decode": [eet.decode, *(lambda p=peer: p.ask("decode") for peer in peers)],
        }
    times = measure(tests, rounds)
    for peer in peers:
        peer.end()
    return times, eet.bounds


def main():
    if sys.argv[1] == "--worker":
        worker(*sys.argv[2:5], int(sys.argv[5]))
        return
    bins, folder = sys.argv[1:3]
    rounds = int(sys.argv[3]) if len(sys.argv) > 3 else ROUNDS
    os.makedirs(folder, exist_ok=True)
    times, bounds = {}, []
    for model in ("gpt2", "bert"):
        more, read = compare(model, folder, bins, rounds)
        times.update(more)
        bounds += read
    print(f"\nMilliseconds, {THREADS} threads, f32: the median of {rounds} rounds (fastest .. slowest); "
          f"decode is a token at contexts {PROMPT} to {PROMPT + STEPS}. Load: {os.getloadavg()[0]:.2f}.\n")
    print("| test | " + " | ".join(NAMES) + " | eet / better peer |\n|---|---|---|---|---|")
    show(times)
    bound = float(numpy.median(bounds))
    better = min(float(numpy.median(taken)) for taken in times["GPT-2 decode"][1:])
    print(f"\nReading what a token of GPT-2 decode needs took {bound:.1f} ms at the read rate of those runs of eet: "
          f"{bound / better:.2f} of the better peer.")


if __name__ == "__main__":
    main()
