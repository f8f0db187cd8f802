"""What the tests share: converted fixtures, and programs in a process of their own."""
import atexit
import ctypes
import functools
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile

import eet
from eet import _structs
from eet._library import lib

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FOLDER = tempfile.mkdtemp(prefix="eet-python-")
_owner = os.getpid()


def _clean():
    if os.getpid() == _owner:
        shutil.rmtree(FOLDER, ignore_errors=True)


atexit.register(_clean)


@functools.lru_cache(maxsize=None)
def model(name):
    """The .eet file of a fixture: from the folder EET_MODELS where that is set."""
    if os.environ.get("EET_MODELS"):
        return os.path.join(os.environ["EET_MODELS"], name + ".eet")
    path = os.path.join(FOLDER, name + ".eet")
    eet.convert(os.path.join(ROOT, "fixtures", "checkpoints", name), path)
    return path


def load(name, **options):
    """A fixture's model on the CPU, which is what tests of signals, forks and times are about; those
    of devices are in test_device*.py."""
    return eet.load(model(name), device="cpu", **options)


@functools.lru_cache(maxsize=None)
def golden(name):
    """What the real library computed for a fixture, as arrays."""
    import h5py

    with h5py.File(os.path.join(ROOT, "fixtures", "golden", name + ".h5")) as file:
        return {key: value[()] for key, value in file.items()}


def rows(gold, tokens="tokens", start="start"):
    """The golden rows as lists."""
    return [gold[tokens][a:b].tolist() for a, b in zip(gold[start], gold[start][1:])]


def python(program, *arguments, **environment):
    """Runs a program; its finished process, output as text."""
    return subprocess.run([sys.executable, "-c", program, *arguments], text=True, timeout=120,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False,
                          env={**os.environ, **environment})


def gpt2_tensors(width, layers, positions, vocab, inner=None, seed=1):
    """Random weights of GPT-2, by their names in a checkpoint."""
    import numpy

    draw = numpy.random.default_rng(seed)
    inner = inner or 4 * width
    shapes = {"wte.weight": (vocab, width), "wpe.weight": (positions, width),
              "ln_f.weight": (width,), "ln_f.bias": (width,)}
    for i in range(layers):
        for name, shape in (("attn.c_attn", (width, 3 * width)), ("attn.c_proj", (width, width)),
                            ("mlp.c_fc", (width, inner)), ("mlp.c_proj", (inner, width))):
            shapes[f"h.{i}.{name}.weight"] = shape
            shapes[f"h.{i}.{name}.bias"] = shape[1:]
        for name in ("ln_1", "ln_2"):
            shapes[f"h.{i}.{name}.weight"] = shapes[f"h.{i}.{name}.bias"] = (width,)
    return {"transformer." + name: (draw.standard_normal(shape) * 0.05).astype("<f4")
            for name, shape in sorted(shapes.items())}


def write_safetensors(path, tensors):
    """One file of f32 tensors."""
    header, offset = {}, 0
    for name, data in tensors.items():
        header[name] = {"dtype": "F32", "shape": data.shape,
                        "data_offsets": [offset, offset + data.nbytes]}
        offset += data.nbytes
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for data in tensors.values():
            file.write(data.tobytes())


def write_gpt2(folder, tensors, heads, shards=1):
    """A checkpoint of `gpt2_tensors`; in several files with an index."""
    vocab, width = tensors["transformer.wte.weight"].shape
    inner = tensors["transformer.h.0.mlp.c_proj.weight"].shape[0]
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "config.json"), "w", encoding="utf-8") as file:
        json.dump({"architectures": ["GPT2LMHeadModel"], "model_type": "gpt2", "n_embd": width,
                   "n_head": heads, "n_inner": inner, "vocab_size": vocab,
                   "n_layer": sum(name.endswith("ln_1.bias") for name in tensors),
                   "n_positions": len(tensors["transformer.wpe.weight"]),
                   "bos_token_id": vocab - 1, "eos_token_id": vocab - 1}, file)
    if shards == 1:
        write_safetensors(os.path.join(folder, "model.safetensors"), tensors)
        return folder
    names = sorted(tensors)
    where = {name: f"model-{i % shards + 1:05}-of-{shards:05}.safetensors"
             for i, name in enumerate(names)}
    for part in sorted(set(where.values())):
        write_safetensors(os.path.join(folder, part),
                          {name: tensors[name] for name in names if where[name] == part})
    with open(os.path.join(folder, "model.safetensors.index.json"), "w", encoding="utf-8") as file:
        json.dump({"metadata": {}, "weight_map": where}, file)
    return folder


@functools.lru_cache(maxsize=None)
def gpt2_model(width, layers, positions, vocab, heads):
    """GPT-2 of random weights, converted."""
    name = os.path.join(FOLDER, f"gpt2-{width}-{layers}-{positions}-{vocab}-{heads}")
    write_gpt2(name, gpt2_tensors(width, layers, positions, vocab), heads)
    eet.convert(name, name + ".eet")
    shutil.rmtree(name)
    return name + ".eet"


def slow_model():
    """Has room for long prompts: a pass over one takes a while."""
    return gpt2_model(256, 6, 4096, 300, 4)


def measure(model, **sizes):
    """eet_session_measure: what a session of these sizes would allocate."""
    options = _structs.SessionOptions(size=ctypes.sizeof(_structs.SessionOptions), **sizes)
    need = _structs.MemoryNeed(size=ctypes.sizeof(_structs.MemoryNeed))
    model._call(lib.eet_session_measure, ctypes.byref(options), ctypes.byref(need))
    return need


def resident(kind="Rss"):
    """Bytes of this process in memory: "Rss", or "Anonymous" (what is of no file)."""
    with open("/proc/self/smaps_rollup", encoding="ascii") as file:
        for line in file:
            if line.startswith(kind + ":"):
                return int(line.split()[1]) * 1024
    raise AssertionError(kind)


def write_bert(folder, width, layers, heads, positions, vocab, seed=1):
    """A checkpoint of BERT with random weights, without heads."""
    import numpy

    draw = numpy.random.default_rng(seed)
    shapes = {"word_embeddings.weight": (vocab, width), "token_type_embeddings.weight": (2, width),
              "position_embeddings.weight": (positions, width)}
    shapes = {"embeddings." + name: shape for name, shape in shapes.items()}
    norms = ["embeddings.LayerNorm"]
    for i in range(layers):
        at = f"encoder.layer.{i}."
        for name, out, into in (
                ("attention.self.query", 1, 1), ("attention.self.key", 1, 1),
                ("attention.self.value", 1, 1), ("attention.output.dense", 1, 1),
                ("intermediate.dense", 4, 1), ("output.dense", 1, 4)):
            shapes[f"{at}{name}.weight"] = (out * width, into * width)
            shapes[f"{at}{name}.bias"] = (out * width,)
        norms += [at + "attention.output.LayerNorm", at + "output.LayerNorm"]
    for norm in norms:
        shapes[norm + ".weight"] = shapes[norm + ".bias"] = (width,)
    os.makedirs(folder)
    write_safetensors(os.path.join(folder, "model.safetensors"), {
        name: (draw.standard_normal(shape) * 0.05).astype("<f4")
        for name, shape in sorted(shapes.items())})
    with open(os.path.join(folder, "config.json"), "w", encoding="utf-8") as file:
        json.dump({"architectures": ["BertModel"], "model_type": "bert", "hidden_size": width,
                   "num_attention_heads": heads, "num_hidden_layers": layers,
                   "intermediate_size": 4 * width, "max_position_embeddings": positions,
                   "vocab_size": vocab, "type_vocab_size": 2}, file)


@functools.lru_cache(maxsize=None)
def bert_model(width, layers, heads, positions, vocab):
    """BERT of random weights, converted."""
    name = os.path.join(FOLDER, f"bert-{width}-{layers}")
    write_bert(name, width, layers, heads, positions, vocab)
    eet.convert(name, name + ".eet")
    shutil.rmtree(name)
    return name + ".eet"
