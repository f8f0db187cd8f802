"""Configurations, names and numbers of checkpoints: 54 to 57, 63 to 69 and 77 of
docs/refusals.md."""
import json
import os
import struct
import subprocess
from pathlib import Path

import make_torch as mt
from hostile import Case

BIN = Path(os.environ["EET_BIN"])
FIXTURES = Path(__file__).resolve().parents[2] / "fixtures"


def model(tensors=None, change=None, prefix="transformer.", safetensors=False, **config):
    """A folder with a GPT-2 of one layer; change(tensors) edits them."""

    def make(folder: Path) -> list:
        found = tensors() if tensors else mt.state_dict(prefix=prefix)
        if change:
            change(found)
        if safetensors:
            mt.write_safetensors(folder / "model.safetensors", found)
        else:
            mt.write_zip(folder / "pytorch_model.bin", found)
        mt.write_config(folder / "config.json", **config)
        return [folder]

    return make


def with_text(text: str):
    """The same with this text as its config.json."""

    def make(folder: Path) -> list:
        model()(folder)
        (folder / "config.json").write_text(text)
        return [folder]

    return make


def positions(rows: str):
    """What a RoBERTa's file says of its positions."""

    def check(_, output):
        assert fact(output, "enc.pos.rows") == rows

    return check


def roberta(**config):
    """The fixture whose padding token is 6, with 42 rows of positions, configured anew."""

    def make(folder: Path) -> list:
        found = FIXTURES / "checkpoints" / "roberta_pad"
        (folder / "model.safetensors").write_bytes((found / "model.safetensors").read_bytes())
        fields = {**json.loads((found / "config.json").read_text()), **config}
        (folder / "config.json").write_text(json.dumps(fields))
        return [folder]

    return make


# --- what came out -------------------------------------------------------------------------------


def inspect(output: Path) -> dict:
    told = subprocess.run([BIN / "eet-inspect", "--json", output], capture_output=True, check=True)
    return json.loads(told.stdout)


def values(output: Path, name: str) -> bytes:
    """The bytes of a tensor, by eet-inspect's npy dump."""
    npy = output.with_suffix(".npy")
    subprocess.run([BIN / "eet-inspect", "--tensor", name, "--dump", "npy", "-o", npy, "--force",
                    output], capture_output=True, check=True)
    told = npy.read_bytes()
    assert told[:6] == b"\x93NUMPY"
    return told[10 + struct.unpack("<H", told[8:10])[0]:]


def fact(output: Path, key: str) -> str:
    return subprocess.run([BIN / "eet-inspect", "--key", key, output], capture_output=True,
                          check=True, text=True).stdout.strip()


def facts(**expected):
    def check(_, output):
        for key, value in expected.items():
            found = fact(output, "dec." + key)
            assert found == value, f"dec.{key} is {found}, expected {value}"

    return check


def holds(name: str, expected: bytes):
    def check(_, output):
        found = values(output, name)
        assert found[:len(expected)] == expected, f"{found[:16].hex()}, expected {expected.hex()}"

    return check


def both(*checks):
    def check(folder, output):
        for each in checks:
            each(folder, output)

    return check


# --- changes of tensors --------------------------------------------------------------------------


def put(name: str, *numbers, dtype="float32"):
    """The first numbers of a tensor."""
    code, size = {"float32": ("f", 4), "float64": ("d", 8)}[dtype]

    def change(tensors):
        _, shape, data = tensors[name]
        have = list(struct.unpack(f"<{len(data) // 4}f", data))
        have[:len(numbers)] = numbers
        tensors[name] = (dtype, shape, struct.pack(f"<{len(have)}{code}", *have))
        assert len(tensors[name][2]) == size * len(have)

    return change


def own_head(different: bool):
    def change(tensors):
        dtype, shape, data = tensors["lm_head.weight"]
        data = bytes([data[0] ^ different]) + data[1:]
        tensors["lm_head.weight"] = (dtype, shape, bytes(bytearray(data)))

    return change


def wrap(prefix: str):
    def change(tensors):
        for name in list(tensors):
            tensors[prefix + name] = tensors.pop(name)

    return change


def rename(old: str, new: str):
    def change(tensors):
        tensors[new] = tensors.pop(old)

    return change


def include(name: str, shape, dtype="float32"):
    def change(tensors):
        size = mt.DTYPES[dtype][0]
        tensors[name] = (dtype, tuple(shape), bytes(size * mt.product(shape)))

    return change


# --- BERT ----------------------------------------------------------------------------------------

BERT = {
    "architectures": ["BertModel"], "model_type": "bert", "hidden_size": 8,
    "num_attention_heads": 2, "num_hidden_layers": 1, "intermediate_size": 12, "vocab_size": 16,
    "max_position_embeddings": 8, "type_vocab_size": 2, "hidden_act": "gelu",
}


def bert_tensors(gain="weight", shift="bias") -> dict:
    shapes = {"embeddings.word_embeddings.weight": (16, 8),
              "embeddings.position_embeddings.weight": (8, 8),
              "embeddings.token_type_embeddings.weight": (2, 8)}
    layer = "encoder.layer.0."
    for name, rows, columns in (
            ("attention.self.query", 8, 8), ("attention.self.key", 8, 8),
            ("attention.self.value", 8, 8), ("attention.output.dense", 8, 8),
            ("intermediate.dense", 12, 8), ("output.dense", 8, 12)):
        shapes[f"{layer}{name}.weight"] = (rows, columns)
        shapes[f"{layer}{name}.bias"] = (rows,)
    for name in ("embeddings.", layer + "attention.output.", layer + "output."):
        shapes[f"{name}LayerNorm.{gain}"] = shapes[f"{name}LayerNorm.{shift}"] = (8,)
    return {name: mt.random_tensor(name.replace("gamma", "weight").replace("beta", "bias"), shape)
            for name, shape in shapes.items()}


def bert(change=None, gain="weight", shift="bias", **config):
    def make(folder: Path) -> list:
        tensors = bert_tensors(gain, shift)
        if change:
            change(tensors)
        mt.write_zip(folder / "pytorch_model.bin", tensors)
        (folder / "config.json").write_text(json.dumps({**BERT, **config}))
        return [folder]

    return make


def twice(different: bool):
    def change(tensors):
        dtype, shape, data = tensors["embeddings.LayerNorm.gamma"]
        tensors["embeddings.LayerNorm.weight"] = (
            dtype, shape, bytes([data[0] ^ different]) + data[1:])

    return change


# --- cases ---------------------------------------------------------------------------------------

WPE, FC = "transformer.wpe.weight", "transformer.h.0.mlp.c_fc.weight"
NAN, INF = float("nan"), float("inf")


def two_files(folder: Path) -> list:
    model(safetensors=True)(folder)
    mt.write_zip(folder / "pytorch_model.bin", {"nothing": mt.random_tensor("x", (3,))})
    return [folder]


def deep(folder: Path) -> list:
    config = {"n_layer": 120, "n_embd": 4, "n_head": 2, "n_inner": 4}
    tensors = mt.state_dict(config)
    for i in range(120):
        tensors[f"transformer.h.{i}.attn.bias"] = ("uint8", (1, 1, 8, 8), bytes(64))
        tensors[f"transformer.h.{i}.attn.masked_bias"] = ("float32", (), bytes(4))
    mt.write_zip(folder / "pytorch_model.bin", tensors)
    mt.write_config(folder / "config.json", **config)
    return [folder]


def deep_layers(_, output):
    names = {tensor["name"] for tensor in inspect(output)["tensors"]}
    assert {f"dec.{i:04}.attn.qkv.w" for i in range(120)} <= names
    assert values(output, "dec.0010.attn.qkv.b") != values(output, "dec.0100.attn.qkv.b")


def refused(name: str, says: str, **config) -> Case:
    return Case(65, name, model(**config), 3, says)


def malformed(name: str, says: str, **config) -> Case:
    return Case(64, name, model(**config), 4, says)


CASES = [
    Case(54, "tied by storage", model(), 0, same_as=model(safetensors=True)),
    Case(54, "tied by content", model(change=own_head(False)), 0, same_as=model()),
    Case(54, "tied, but one element differs", model(change=own_head(True)), 2,
         'differs from "transformer.wte.weight"'),
    Case(54, "not tied, and one element differs",
         model(change=own_head(True), tie_word_embeddings=False), 0),
    Case(54, "not tied, and no head",
         model(change=lambda t: t.pop("lm_head.weight"), tie_word_embeddings=False), 4,
         "missing: lm_head.weight"),
    Case(56, "NaN", model(change=put(WPE, 0.0, NAN, INF)), 2,
         '"transformer.wpe.weight": 2 values are NaN or infinite, the first is number 1'),
    Case(56, "NaN allowed", model(change=put(WPE, 0.0, NAN, INF)), 0,
         options=("--allow-nonfinite",),
         check=holds("dec.emb.pos", bytes.fromhex("00000000 0000c07f 0000807f"))),
    Case(56, "a million into f16", model(change=put(WPE, 1e6)), 2,
         "1 values are too large for f16", options=("--dtype", "f16")),
    Case(56, "a million clamped, subnormal, minus zero",
         model(change=put(WPE, 1e6, -1e6, 6e-8, -0.0, 65519.0, 1.00048828125)), 0,
         options=("--dtype", "f16", "--clamp"),
         check=holds("dec.emb.pos", struct.pack("<6H", 0x7BFF, 0xFBFF, 1, 0x8000, 0x7BFF, 0x3C00))),
    Case(56, "bf16 rounds to even", model(change=put(WPE, 1.00390625, 1.01171875, 3e38)), 0,
         options=("--dtype", "bf16"),
         check=holds("dec.emb.pos", bytes.fromhex("0000803f 0000823f 0000627f"))),
    Case(56, "f64 is kept as f32", model(change=put(WPE, 0.1, dtype="float64")), 0,
         check=holds("dec.emb.pos", struct.pack("<f", 0.1))),
    Case(56, "f64 that no f32 holds", model(change=put(WPE, 1e300, dtype="float64")), 2,
         "too large for f32"),
    Case(57, "an empty tensor left over",
         model(change=include("decoder.version", (0,))), 2, "does not have: decoder.version"),
    Case(57, "an empty tensor, a scalar, a buffer of one number",
         model(change=lambda t: (include("a", (0,))(t), include("b", ())(t),
                                 include("decoder.version", (1,))(t))), 0,
         options=("--allow-unused", "^(a|b|decoder[.]version)$"), same_as=model()),
    Case(63, "two files of weights", two_files, 0,
         "model.safetensors is read, and pytorch_model.bin beside it is not",
         same_as=model(safetensors=True)),
    Case(63, "two files of weights, the other one chosen", two_files, 4,
         "none of its 1 tensors is one of GPT-2", options=("--weights", "pytorch_model.bin")),
    Case(77, "a padding token 0", roberta(pad_token_id=0), 0, check=positions("41")),
    Case(77, "a padding token 1", roberta(pad_token_id=1), 0, check=positions("40")),
    Case(77, "a padding token 5", roberta(pad_token_id=5), 0, check=positions("36")),
    Case(64, "positions from the padding token on", roberta(), 0,
         check=positions("35")),
    Case(64, "positions up to the padding token", roberta(max_position_embeddings=7), 4,
         '"max_position_embeddings" is 7, expected 8 to'),
    Case(64, "fewer positions than the file", roberta(max_position_embeddings=41), 4,
         "position_embeddings.weight"),
    Case(64, "another padding token than the file's", roberta(pad_token_id=1), 0,
         check=positions("40")),
    Case(64, "a padding token outside of the vocabulary", roberta(pad_token_id=60), 4,
         "positions are counted from the padding token's number"),
    Case(64, "positions without number", roberta(max_position_embeddings="42"), 4, "an integer"),
    Case(64, "a key twice", with_text(json.dumps(mt.CONFIG)[:-1] + ', "n_head": 4}'), 4, "n_head"),
    Case(64, "no object", with_text("[1]"), 4, "it is an array, expected an object"),
    Case(64, "no JSON", with_text("n_head: 2"), 4, "config.json"),
    Case(64, "nothing", with_text(""), 4, "config.json"),
    Case(64, "nested too deep", with_text("[" * 1000 + "]" * 1000), 6, "nested"),
    Case(64, "a head wider than any", model(n_embd=2048, n_head=1), 6,
         '"n_embd" 2048 over "n_head" 1 gives heads of 2048'),
    malformed("no heads", '"n_head" is 0, expected 1 to 1024', n_head=0),
    malformed("negative heads", '"n_head" is -1', n_head=-1),
    malformed("a billion heads", '"n_head" is 1000000000', n_head=10**9),
    malformed("more heads than int64", "config.json", n_head=10**30),
    malformed("heads in a string", '"n_head" is a string, expected an integer', n_head="12"),
    malformed("heads as a real", '"n_head" is a number', n_head=12.0),
    malformed("heads not a number", "config.json", n_head=NAN),
    malformed("heads that do not divide", '"n_embd" 8 is no multiple of "n_head" 3', n_head=3),
    malformed("heads missing", '"n_head" is missing', n_head=...),
    malformed("heads null", '"n_head" is missing', n_head=None),
    malformed("two names that disagree", '"n_embd" is 8, and its other name "hidden_size" is 16',
              hidden_size=16),
    malformed("more layers than the file", "missing: transformer.h.1.ln_1.weight", n_layer=2),
    Case(64, "fewer layers than the file",
         model(tensors=lambda: mt.state_dict({"n_layer": 2})), 4,
         "the configuration has 1 layers, and the file more"),
    malformed("another width", "expected (16, 16)", n_embd=16),
    malformed("epsilon in a string", '"layer_norm_epsilon" is a string', layer_norm_epsilon="1e-5"),
    malformed("epsilon below zero", '"layer_norm_epsilon" is -1', layer_norm_epsilon=-1),
    malformed("a flag that is a number", '"scale_attn_weights" is an integer',
              scale_attn_weights=1),
    malformed("a vocabulary of nothing", '"vocab_size" is 0', vocab_size=0),
    malformed("no positions", '"n_positions" is 0, expected 1 to', n_positions=0),
    Case(64, "an older key gives way", model(n_ctx=4), 0, same_as=model()),
    Case(64, "an older key alone", model(n_ctx=8, n_positions=...), 0, same_as=model()),
    Case(64, "an id outside of the vocabulary", model(eos_token_id=50256), 0,
         '"eos_token_id" 50256 is outside of the vocabulary of 16',
         check=facts(**{"tok.eos": "-1", "tok.bos": "2"})),
    refused("an unknown activation", 'activation "gelu_10"', activation_function="gelu_10"),
    refused("pruned heads", '"pruned_heads"', pruned_heads={"0": [1]}),
    refused("a quantised checkpoint", 'a checkpoint that is quantised ("quantization_config")',
            quantization_config={"bits": 4}),
    refused("... and by what", 'quantised by gptq ("quantization_config") is not supported',
            quantization_config={"bits": 4, "quant_method": "gptq"}),
    refused("... by a name that is none", 'quantised ("quantization_config") is not supported',
            quantization_config={"quant_method": 4}),
    refused("... and under its older name", 'quantised by sparseml ("compression_config")',
            compression_config={"quant_method": "sparseml"}),
    refused("remote code", '"auto_map"', auto_map={"AutoModel": "modeling.My"}),
    Case(65, "cross attention without its tensors", model(add_cross_attention=True), 4,
         "are missing: transformer.h.0.ln_cross_attn.weight"),
    refused("an encoder with a decoder", '"is_encoder_decoder"', is_encoder_decoder=True),
    refused("an architecture of the family", 'architecture "GPT2ForImageClassification"',
            architectures=["GPT2ForImageClassification"]),
    refused("an unknown model type", 'model type "llama"', model_type="llama"),
    Case(65, "remote code, but --arch says what it is",
         model(auto_map={"AutoModel": "modeling.My"}), 0, options=("--arch", "GPT2LMHeadModel")),
    Case(65, "--arch that nobody knows", model(), 3, '--arch "T5Model"',
         options=("--arch", "T5Model")),
    Case(65, "no pruned heads, no quantisation", model(pruned_heads={}, quantization_config=None),
         0),
    Case(65, "two architectures", model(architectures=["GPT2Model", "GPT2LMHeadModel"]), 2,
         '"architectures" names 2'),
    Case(65, "type and architecture disagree", model(model_type="bert"), 2, "--arch NAME decides"),
    Case(65, "relative positions", bert(position_embedding_type="relative_key"), 3,
         '"position_embedding_type" is "relative_key"'),
    Case(65, "a BERT that looks at another model", bert(is_decoder=True, add_cross_attention=True),
         3, '"add_cross_attention"'),
    Case(65, "an architecture of BERT", bert(architectures=["BertForRegression"]), 3,
         'architecture "BertForRegression"'),
    Case(65, "a decoder that may be one", bert(is_decoder="yes"), 4, '"is_decoder" is a string'),
    Case(65, "a head without its tensors", bert(architectures=["BertLMHeadModel"], is_decoder=True),
         4, "tensors of BertLMHeadModel are missing: cls.predictions"),
    Case(65, "a classifier without its tensors",
         bert(architectures=["BertForSequenceClassification"]), 4, "are missing"),
    Case(65, "a summary by attention",
         model(architectures=["GPT2DoubleHeadsModel"], summary_type="attn"), 3,
         '"summary_type" is "attn"'),
    Case(65, "a summary without its tensors", model(architectures=["GPT2DoubleHeadsModel"]), 4,
         "are missing: multiple_choice_head.summary.weight"),
    Case(65, "gelu is the exact one", model(activation_function="gelu"), 0,
         check=facts(act="gelu_erf")),
    Case(65, "a configuration of 2019, without type and architecture",
         model(model_type=..., architectures=...), 0, same_as=model(),
         check=facts(act="gelu_tanh")),
    Case(65, "a configuration that says nothing", with_text('{"n": 1}'), 2, "--arch NAME does"),
    Case(66, "n_inner null is four times the width", model(), 0, check=facts(ffn="32")),
    Case(66, "n_inner", model(tensors=lambda: mt.state_dict({"n_inner": 20}), n_inner=20), 0,
         check=facts(ffn="20")),
    Case(66, "inverse layer scale", model(scale_attn_by_inverse_layer_idx=True), 0,
         check=facts(inv_layer_scale="true", attn_scale="0.5")),
    Case(66, "no scale", model(scale_attn_weights=False), 0,
         check=facts(inv_layer_scale="false", attn_scale="1")),
    Case(66, "exactness of attention changes nothing", model(reorder_and_upcast_attn=True), 0,
         same_as=model()),
    Case(67, "gamma and beta", bert(gain="gamma", shift="beta"), 0, same_as=bert()),
    Case(67, "gamma and weight, equal", bert(twice(False), "gamma", "beta"), 0, same_as=bert()),
    Case(67, "gamma and weight, different", bert(twice(True), "gamma", "beta"), 4,
         "are the same part of the model, and they differ"),
    Case(67, "with bert.", bert(wrap("bert.")), 0, same_as=bert()),
    Case(68, "no prefix", model(prefix=""), 0, same_as=model()),
    Case(68, "module.transformer.", model(change=wrap("module.")), 0, same_as=model()),
    Case(68, "_orig_mod.", model(change=wrap("_orig_mod.")), 0, same_as=model()),
    Case(68, "module._orig_mod.", model(change=wrap("module._orig_mod.")), 0, same_as=model()),
    Case(68, "mixed", model(change=rename(WPE, "wpe.weight")), 2, '"wpe.weight"'),
    Case(68, "mixed wrappers", model(change=rename(WPE, "module." + WPE)), 2, f'"module.{WPE}"'),
    Case(69, "120 layers with masks", deep, 0, check=deep_layers),
    Case(69, "cross attention that the configuration does not have",
         model(change=include("transformer.h.0.crossattention.c_proj.weight", (8, 8))), 2,
         "does not have: transformer.h.0.crossattention.c_proj.weight"),
    Case(69, "a wrong shape", model(change=include(FC, (8, 30))), 4,
         f'"{FC}" is (8, 30), expected (8, 32): ffn is 32 by "n_inner"'),
]
