#!/usr/bin/env python3
"""Encoder-decoder models by facts and tensors alone: a forward pass in float64, made from
docs/architecture.md and docs/format.md, over what eet-convert writes, against what the real library
computed (fixtures/golden).

    tests/converter/test_pairs.py [NAME...]
"""
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import h5py
import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))
import read_eet

BIN = Path(os.environ["EET_BIN"])
PAIRS = "fs062_nmt fs010_nmt fs012_nmt fs012_nmt_shared fs012_bart".split()
ALONE = "fs062_lm fs062_lm_out fs012_lm fs012_roberta_pre fs080_bert".split()
ACTS = {"relu": lambda x: np.maximum(x, 0), "linear": lambda x: x, "tanh": np.tanh,
        "gelu_erf": lambda x: 0.5 * x * (1 + np.vectorize(__import__("math").erf)(x / 2**0.5))}


class Model:
    """The facts and tensors of a .eet file."""

    def __init__(self, path):
        found = read_eet.read(path)
        data = path.read_bytes()
        self.facts, self.tensors = found["meta"], {}
        for t in found["tensors"]:
            part = np.frombuffer(data, np.float32, t["bytes"] // 4, t["offset"])
            self.tensors[t["name"]] = part.reshape(t["shape"]).astype(np.float64)

    def fact(self, stack, name):
        return self.facts[f"{stack}.{name}"]

    def get(self, name):
        return self.tensors.get(name)

    def product(self, x, name):
        bias = self.get(name + ".b")
        return x @ self.get(name + ".w").T + (0 if bias is None else bias)

    def norm(self, x, name, eps):
        off = x - x.mean(-1, keepdims=True)
        scaled = off / np.sqrt((off**2).mean(-1, keepdims=True) + eps)
        return scaled * self.get(name + ".w") + self.get(name + ".b")


def weights_of(m, name):
    """emb.tok is a table: its name has no part."""
    return m.get(name) if m.get(name) is not None else m.get(name + ".w")


def embed(m, s, tokens, types):
    x = weights_of(m, f"{s}.emb.tok")[tokens] * m.fact(s, "emb.scale")
    if m.get(f"{s}.emb.proj_in.w") is not None:
        x = m.product(x, f"{s}.emb.proj_in")
    x = x + weights_of(m, f"{s}.emb.pos")[: len(tokens)]
    if types is not None:
        x = x + weights_of(m, f"{s}.emb.type")[types]
    return m.norm(x, f"{s}.emb.norm", m.fact(s, "norm_eps")) if m.fact(s, "emb_norm") else x


def attend(m, s, q, k, v, causal):
    heads, scale = m.fact(s, "heads"), m.fact(s, "attn_scale")
    cut = [a.reshape(len(a), heads, -1).transpose(1, 0, 2) for a in (q, k, v)]
    scores = cut[0] @ cut[1].transpose(0, 2, 1) * scale
    if causal:
        scores = np.where(np.tri(len(q), len(k), dtype=bool), scores, -np.inf)
    p = np.exp(scores - scores.max(-1, keepdims=True))
    out = p / p.sum(-1, keepdims=True) @ cut[2]
    return out.transpose(1, 0, 2).reshape(len(q), -1)


def block(m, s, at, x, source):
    def part(x, norm, inner):
        eps = m.fact(s, "norm_eps")
        if m.fact(s, "pre_norm"):
            return x + inner(m.norm(x, f"{at}.{norm}", eps))
        return m.norm(x + inner(x), f"{at}.{norm}", eps)

    def self_attention(h):
        q, k, v = np.split(m.product(h, f"{at}.attn.qkv"), 3, -1)
        return m.product(attend(m, s, q, k, v, s == "dec"), f"{at}.attn.out")

    def cross(h):
        k, v = np.split(m.product(source, f"{at}.cross.kv"), 2, -1)
        found = attend(m, s, m.product(h, f"{at}.cross.q"), k, v, False)
        return m.product(found, f"{at}.cross.out")

    def forward(h):
        act = ACTS[m.fact(s, "act")]
        return m.product(act(m.product(h, f"{at}.ffn.fc1")), f"{at}.ffn.fc2")

    x = part(x, "attn.norm", self_attention)
    if source is not None:
        x = part(x, "cross.norm", cross)
    return part(x, "ffn.norm", forward)


def run_stack(m, s, tokens, types=None, source=None):
    x = embed(m, s, tokens, types)
    for i in range(m.fact(s, "layers")):
        x = block(m, s, f"{s}.{i:04}", x, source)
    return m.norm(x, f"{s}.norm", m.fact(s, "norm_eps")) if m.fact(s, "final_norm") else x


def run_head(m, name, act, x):
    at = f"head.{name}"
    if m.get(at + ".dense.w") is not None:
        x = ACTS[act](m.product(x, at + ".dense"))
    if m.get(at + ".norm.w") is not None:
        x = m.norm(x, at + ".norm", 1e-5)
    return m.product(x, at + ".out") if m.get(at + ".out.w") is not None else x


def heads_of(m):
    """name: (act, take)."""
    found, i = {}, 0
    while f"head.{i}.name" in m.facts:
        fact = {k: m.facts[f"head.{i}.{k}"] for k in ("name", "act", "take")}
        found[fact["name"]] = fact["act"], fact["take"]
        i += 1
    return found


def rows_of(golden, start="start", tokens="tokens"):
    at = golden[start][()]
    values = golden[tokens][()]
    return [values[a:b] for a, b in zip(at[:-1], at[1:])]


def run_model(m, golden):
    """Every output, packed as in the golden."""
    parts = {}
    rows = rows_of(golden)
    sources = rows_of(golden, "source_start", "source_tokens") if "source_start" in golden else None
    types = rows_of(golden, tokens="types") if "types" in golden else [None] * len(rows)
    stack = "dec" if "dec.layers" in m.facts else "enc"
    for i, tokens in enumerate(rows):
        source = run_stack(m, "enc", sources[i]) if sources else None
        hidden = run_stack(m, stack, tokens, types[i], source)
        found = {"hidden": hidden} | ({"encoder": source} if sources else {})
        for name, (act, take) in heads_of(m).items():
            taken = {"every": hidden, "first": hidden[:1], "last": hidden[-1:]}[take]
            found[name] = run_head(m, name, act, taken)
        for key, value in found.items():
            parts.setdefault(key, []).append(value)
    return {key: np.concatenate(values) for key, values in parts.items()}


def check(name, folder):
    path = Path(folder) / "model.eet"
    subprocess.run([BIN / "eet-convert", ROOT / "fixtures/checkpoints" / name, "-o", path, "-q",
                    "--force"], check=True, stdout=subprocess.DEVNULL)
    problems = []
    with h5py.File(ROOT / "fixtures/golden" / f"{name}.h5") as golden:
        found = run_model(Model(path), golden)
        for key, value in found.items():
            truth = golden[key][()]
            off = np.linalg.norm(value - truth) / np.linalg.norm(truth)
            # tables of sinusoids are float32, and Fairseq rounds a frequency another way
            if value.shape != truth.shape or not off < 1e-6:
                problems.append(f"{name}: {key} is off by {off:.1e}")
    return problems


def main():
    names = sys.argv[1:] or PAIRS + ALONE
    with tempfile.TemporaryDirectory() as folder:
        problems = [line for name in names for line in check(name, folder)]
    print("\n".join(problems) or f"{len(names)} models: fine")
    return 1 if problems else 0


sys.exit(main())
