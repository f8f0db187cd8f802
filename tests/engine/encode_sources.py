#!/usr/bin/env python3
"""eet-encode over models with an encoder and a decoder: with source ids the decoder's hidden states
and heads, without them the encoder's states, are what the real library computed in float64
(fixtures/golden), however the rows are given and batched.

    tests/engine/encode_sources.py [NAME...]
"""
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import h5py
import numpy as np

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(os.environ["EET_BIN"])
HEADS = {"fs062_nmt": ["lm"], "fs012_nmt": ["lm"], "fs012_bart": ["lm", "topic"], "bart_lm": ["lm"],
         "bart_sequence": ["sequence"], "bart_qa": ["qa"]}
GIVEN = ["a line a row", "one row at a time", "on the command line"]


def convert(name, folder):
    path = ROOT / "fixtures" / "checkpoints" / name
    inside = sorted(path.glob("*.pt"))
    made = folder / f"{name}.eet"
    subprocess.run([BIN / "eet-convert", inside[0] if inside else path, "-q", "-o", made], check=True,
                   stdout=subprocess.DEVNULL)
    return made


def rows_of(golden, start, tokens):
    at, values = golden[start][()], golden[tokens][()].tolist()
    return [values[a:b] for a, b in zip(at[:-1], at[1:])]


def encode(model, rows, given, *options):
    """The objects of the lines that eet-encode prints for rows of (ids, source ids or None)."""
    arguments, lines = list(options), ""
    if given == GIVEN[2]:
        for ids, sources in rows:
            arguments += ["--ids", ",".join(map(str, ids))]
            arguments += ["--source-ids", ",".join(map(str, sources))] if sources else []
    else:
        arguments += ["--batch", "1"] if given == GIVEN[1] else []
        lines = "".join(json.dumps({"ids": ids, **({"source_ids": sources} if sources else {})})
                        + "\n" for ids, sources in rows)
    done = subprocess.run([BIN / "eet-encode", model, *arguments], input=lines, check=True,
                          stdout=subprocess.PIPE, text=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def packed(parts):
    """Vectors, or lists of them, one below the other."""
    return np.concatenate([np.atleast_2d(np.array(part, dtype=np.float64)) for part in parts])


def differs(what, ours, golden, dataset):
    """A sentence about what is too far from the library, or None."""
    truth = golden[dataset][()].astype(np.float64)
    if ours.shape != truth.shape:
        return f"{what}: shape {ours.shape}, not {truth.shape}"
    largest = np.maximum(1, abs(truth).max(axis=1, keepdims=True))
    relative = np.linalg.norm(ours - truth) / np.linalg.norm(truth)
    bound = min(1e-5, 1.5 * golden[f"{dataset}_f32"][0])
    if (abs(ours - truth) > 1e-4 * largest).any() or relative > bound:
        return f"{what}: relative error {relative}, allowed are {bound}"
    return None


def check(name, model, golden, folder):
    sources = rows_of(golden, "source_start", "source_tokens")
    pairs = list(zip(rows_of(golden, "start", "tokens"), sources))
    problems = []
    for given in GIVEN:
        states = encode(model, [(ids, None) for ids in sources], given, "--pooling", "none")
        hidden = encode(model, pairs, given, "--pooling", "none")
        problems += [
            differs(f"{name}, encoder, {given}", packed([r["hidden"] for r in states]), golden,
                    "encoder"),
            differs(f"{name}, hidden, {given}", packed([r["hidden"] for r in hidden]), golden,
                    "hidden")]
        asked = HEADS[name]
        found = encode(model, pairs, given, *[word for head in asked for word in ("--head", head)])
        for head in asked:
            values = [r["values"] if len(asked) == 1 else r["values"][head] for r in found]
            problems.append(differs(f"{name}, {head}, {given}", packed(values), golden, head))
    encode(model, pairs, GIVEN[0], "--pooling", "none", "--format", "npy", "-o", folder / "out.npy",
           "--force")
    problems.append(differs(f"{name}, npy", np.load(folder / "out.npy"), golden, "hidden"))
    mean = encode(model, pairs, GIVEN[0])
    for row, (one, all_of_it) in enumerate(zip(mean, hidden)):
        if not np.allclose(one["embedding"], np.mean(all_of_it["hidden"], axis=0), atol=1e-5):
            problems.append(f"{name}: the vector of row {row} is no mean of the decoder's states")
    return [problem for problem in problems if problem]


def main():
    problems = []
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        for name in sys.argv[1:] or HEADS:
            with h5py.File(ROOT / "fixtures" / "golden" / f"{name}.h5") as golden:
                problems += check(name, convert(name, folder), golden, folder)
    print("\n".join(problems))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
