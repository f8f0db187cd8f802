"""peer_weights.py - random weights of GPT-2 (124M) and BERT-base under the names that Transformers
gives them, the same at every run: normal as before training, biases and norms not quite 0 and 1."""
import json
import os

import numpy

GPT2 = {"layers": 12, "hidden": 768, "heads": 12, "vocab": 50257, "positions": 1024}
BERT = {"layers": 12, "hidden": 768, "heads": 12, "vocab": 30522, "positions": 512}


class Maker:
    """A dict of tensors in the making."""

    def __init__(self, seed):
        self.random = numpy.random.default_rng(seed)
        self.made = {}

    def add(self, name, *shape, scale=0.02, middle=0.0):
        values = self.random.standard_normal(shape, dtype=numpy.float32)
        values *= numpy.float32(scale)
        values += numpy.float32(middle)
        self.made[name] = values

    def norm(self, name, hidden):
        self.add(f"{name}.weight", hidden, middle=1.0)
        self.add(f"{name}.bias", hidden)


def gpt2():
    m = Maker(1)
    h = GPT2["hidden"]
    adds = 0.02 / (2 * GPT2["layers"]) ** 0.5  # what adds to the residual stream
    m.add("wte.weight", GPT2["vocab"], h)
    m.add("wpe.weight", GPT2["positions"], h)
    for i in range(GPT2["layers"]):
        m.norm(f"h.{i}.ln_1", h)
        m.norm(f"h.{i}.ln_2", h)
        for name, inputs, outputs, scale in (("attn.c_attn", h, 3 * h, 0.02), ("attn.c_proj", h, h, adds),
                                             ("mlp.c_fc", h, 4 * h, 0.02), ("mlp.c_proj", 4 * h, h, adds)):
            m.add(f"h.{i}.{name}.weight", inputs, outputs, scale=scale)
            m.add(f"h.{i}.{name}.bias", outputs)
    m.norm("ln_f", h)
    return m.made


def bert():
    m = Maker(2)
    h = BERT["hidden"]
    m.add("embeddings.word_embeddings.weight", BERT["vocab"], h)
    m.add("embeddings.position_embeddings.weight", BERT["positions"], h)
    m.add("embeddings.token_type_embeddings.weight", 2, h)
    m.norm("embeddings.LayerNorm", h)
    for i in range(BERT["layers"]):
        layer = f"encoder.layer.{i}"
        for name, inputs, outputs in (("attention.self.query", h, h), ("attention.self.key", h, h),
                                      ("attention.self.value", h, h), ("attention.output.dense", h, h),
                                      ("intermediate.dense", h, 4 * h), ("output.dense", 4 * h, h)):
            m.add(f"{layer}.{name}.weight", outputs, inputs)
            m.add(f"{layer}.{name}.bias", outputs)
        m.norm(f"{layer}.attention.output.LayerNorm", h)
        m.norm(f"{layer}.output.LayerNorm", h)
    m.add("pooler.dense.weight", h, h)
    m.add("pooler.dense.bias", h)
    return m.made


CONFIG = {
    "gpt2": {
        "model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "activation_function": "gelu_new",
        "layer_norm_epsilon": 1e-5, "n_embd": GPT2["hidden"], "n_head": GPT2["heads"],
        "n_layer": GPT2["layers"], "n_positions": GPT2["positions"], "vocab_size": GPT2["vocab"],
        "bos_token_id": 50256, "eos_token_id": 50256,
    },
    "bert": {
        "model_type": "bert", "architectures": ["BertModel"], "hidden_act": "gelu",
        "layer_norm_eps": 1e-12, "hidden_size": BERT["hidden"], "num_attention_heads": BERT["heads"],
        "num_hidden_layers": BERT["layers"], "intermediate_size": 4 * BERT["hidden"],
        "max_position_embeddings": BERT["positions"], "vocab_size": BERT["vocab"],
        "type_vocab_size": 2, "pad_token_id": 0,
    },
}


def make(model):
    return {"gpt2": gpt2, "bert": bert}[model]()


def save(model, folder):
    """A checkpoint as save_pretrained writes it."""
    tensors = make(model)
    header, at = {}, 0
    for name, values in tensors.items():
        header[name] = {"dtype": "F32", "shape": list(values.shape), "data_offsets": [at, at + values.nbytes]}
        at += values.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "model.safetensors"), "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for values in tensors.values():
            file.write(values.tobytes())
    with open(os.path.join(folder, "config.json"), "w", encoding="utf-8") as file:
        json.dump(CONFIG[model], file)


def ids(model, rows, tokens):
    vocab = (GPT2 if model == "gpt2" else BERT)["vocab"]
    return numpy.random.default_rng(rows * 1000 + tokens).integers(0, vocab, (rows, tokens))
