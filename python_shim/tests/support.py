"""What the tests share: converted fixtures, and programs in a process of their own."""
import atexit
import functools
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile

import eet

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


@functools.lru_cache(maxsize=None)
def slow_model():
    """GPT-2 of random weights with room for long prompts: a pass over one takes a while."""
    import numpy

    width, layers, positions, vocab = 256, 6, 4096, 300
    draw = numpy.random.default_rng(1)
    tensors = {"transformer.wte.weight": (vocab, width), "transformer.wpe.weight":
               (positions, width), "transformer.ln_f.weight": (width,),
               "transformer.ln_f.bias": (width,)}
    for i in range(layers):
        at = f"transformer.h.{i}."
        for name, shape in (("attn.c_attn", (width, 3 * width)), ("attn.c_proj", (width, width)),
                            ("mlp.c_fc", (width, 4 * width)), ("mlp.c_proj", (4 * width, width))):
            tensors[at + name + ".weight"] = shape
            tensors[at + name + ".bias"] = shape[1:]
        for name in ("ln_1", "ln_2"):
            tensors[at + name + ".weight"] = tensors[at + name + ".bias"] = (width,)
    folder = os.path.join(FOLDER, "slow")
    os.mkdir(folder)
    header, raw, offset = {}, [], 0
    for name, shape in sorted(tensors.items()):
        data = (draw.standard_normal(shape) * 0.05).astype("<f4").tobytes()
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [offset,
                                                                         offset + len(data)]}
        raw.append(data)
        offset += len(data)
    text = json.dumps(header).encode()
    with open(os.path.join(folder, "model.safetensors"), "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(raw))
    with open(os.path.join(folder, "config.json"), "w", encoding="utf-8") as file:
        json.dump({"architectures": ["GPT2LMHeadModel"], "model_type": "gpt2", "n_embd": width,
                   "n_head": 4, "n_layer": layers, "n_positions": positions,
                   "vocab_size": vocab, "bos_token_id": 299, "eos_token_id": 299}, file)
    path = os.path.join(FOLDER, "slow.eet")
    eet.convert(folder, path)
    return path
