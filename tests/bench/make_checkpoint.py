#!/usr/bin/env python3
"""make_checkpoint.py FOLDER - a GPT-2 medium of random f32 weights (1.4 GB) as safetensors, in
seconds: random bytes whose every fourth is chosen so that all numbers are small and finite."""
import json
import os
import sys

LAYERS, HIDDEN, VOCAB, POSITIONS = 24, 1024, 50257, 1024
CHUNK = 16 << 20


def tensors():
    yield "wte.weight", [VOCAB, HIDDEN]
    yield "wpe.weight", [POSITIONS, HIDDEN]
    for i in range(LAYERS):
        for name, shape in (
            ("ln_1.weight", [HIDDEN]), ("ln_1.bias", [HIDDEN]),
            ("attn.c_attn.weight", [HIDDEN, 3 * HIDDEN]), ("attn.c_attn.bias", [3 * HIDDEN]),
            ("attn.c_proj.weight", [HIDDEN, HIDDEN]), ("attn.c_proj.bias", [HIDDEN]),
            ("ln_2.weight", [HIDDEN]), ("ln_2.bias", [HIDDEN]),
            ("mlp.c_fc.weight", [HIDDEN, 4 * HIDDEN]), ("mlp.c_fc.bias", [4 * HIDDEN]),
            ("mlp.c_proj.weight", [4 * HIDDEN, HIDDEN]), ("mlp.c_proj.bias", [HIDDEN]),
        ):
            yield f"h.{i}.{name}", shape
    yield "ln_f.weight", [HIDDEN]
    yield "ln_f.bias", [HIDDEN]


def random_floats():
    data = bytearray(os.urandom(CHUNK))
    # sign kept, exponent 0x3C: 2^-7 and 2^-6
    data[3::4] = data[3::4].translate(bytes((b & 0x80) | 0x3C for b in range(256)))
    return bytes(data)


def main():
    folder = sys.argv[1]
    os.makedirs(folder, exist_ok=True)
    header, at = {}, 0
    for name, shape in tensors():
        count = 4
        for size in shape:
            count *= size
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + count]}
        at += count
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    chunk = random_floats()
    with open(os.path.join(folder, "model.safetensors"), "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for done in range(0, at, CHUNK):
            # another start each time, so that no two chunks are the same
            turn = done // CHUNK * 4096 % CHUNK
            part = chunk[turn:] + chunk[:turn]
            file.write(part[:min(CHUNK, at - done)])
    with open(os.path.join(folder, "config.json"), "w", encoding="utf-8") as file:
        json.dump({
            "model_type": "gpt2", "architectures": ["GPT2LMHeadModel"],
            "activation_function": "gelu_new", "layer_norm_epsilon": 1e-5,
            "n_embd": HIDDEN, "n_head": 16, "n_layer": LAYERS, "n_positions": POSITIONS,
            "vocab_size": VOCAB, "bos_token_id": 50256, "eos_token_id": 50256,
        }, file)


main()
