"""Makes small checkpoints of Fairseq by hand, and the dictionaries beside them, good ones and wrong
ones: model() and its kin give what a Case makes its folder with."""
import collections
import struct
from pathlib import Path

import make_torch as mt

WORDS, WIDTH, FFN = 7, 8, 12
LINES = "".join(f"w{i} {100 - i}\n" for i in range(WORDS))
ARGS = {"arch": "transformer_lm", "task": "language_modeling", "decoder_layers": 2,
        "decoder_embed_dim": WIDTH, "decoder_input_dim": WIDTH, "decoder_output_dim": WIDTH,
        "decoder_ffn_embed_dim": FFN, "decoder_attention_heads": 2, "activation_fn": "gelu",
        "decoder_normalize_before": True, "share_decoder_input_output_embed": True,
        "no_scale_embedding": False, "decoder_learned_pos": False, "max_target_positions": 16}
NUMBER = "decoder.version"


def number(value):
    return "float32", (1,), struct.pack("<f", value)


def layer(at, norms=("self_attn_layer_norm", "final_layer_norm")) -> dict:
    """The tensors of a layer by their modern names."""
    shapes = {f"self_attn.{part}_proj": (WIDTH, WIDTH) for part in ("q", "k", "v", "out")}
    shapes |= {"fc1": (FFN, WIDTH), "fc2": (WIDTH, FFN)}
    shapes |= {norm: (WIDTH,) for norm in norms}
    found = {}
    for name, shape in shapes.items():
        found[f"{name}.weight"] = mt.random_tensor(f"{at}{name}w", shape)
        found[f"{name}.bias"] = mt.random_tensor(f"{at}{name}b", shape[:1])
    return found


def state(layers=(0, 1), version=3.0, norm=True, tied=True) -> dict:
    """The state dict of a language model whose i-th layer has the numbers of layers[i]."""
    words = mt.random_tensor("words", (WORDS + 4, WIDTH))
    found = {} if version is None else {NUMBER: number(version)}
    found["decoder.embed_tokens.weight"] = words
    found["decoder.embed_positions._float_tensor"] = number(float("nan"))
    for i, at in enumerate(layers):
        found |= {f"decoder.layers.{i}.{name}": value for name, value in layer(at).items()}
    if norm:
        found["decoder.layer_norm.weight"] = mt.random_tensor("norm", (WIDTH,), mean=1.0)
        found["decoder.layer_norm.bias"] = mt.random_tensor("shift", (WIDTH,))
    if tied:
        found["decoder.output_projection.weight"] = words
    return found


def renamed(tensors: dict) -> dict:
    """The same model as Fairseq 0.6 wrote it: fused, numbered, without the tied projection."""
    found = {}
    for name, value in tensors.items():
        fused = [tensors.get(name.replace("q_proj", part)) for part in
                 ("q_proj", "k_proj", "v_proj")]
        if ".self_attn.q_proj." in name:
            name = name.replace("q_proj.", "in_proj_")
            value = ("float32", (3 * WIDTH,) + value[1][1:], b"".join(t[2] for t in fused))
        elif ".self_attn.k_proj." in name or ".self_attn.v_proj." in name:
            continue
        elif name == "decoder.output_projection.weight":
            continue
        name = name.replace("self_attn_layer_norm", "layer_norms.0")
        found[name.replace("final_layer_norm", "layer_norms.1")] = value
    return found


def space(values: dict):
    return mt.Call("argparse.Namespace", (), values)


def node(value, parent=None):
    """OmegaConf's pickled leaf."""
    return mt.Call("omegaconf.nodes.AnyNode", (), {"_val": value, "_parent": parent,
                                                    "_metadata": None})


def container(values: dict, parent=None):
    """OmegaConf's pickled DictConfig, whose children point back to it."""
    content = {}
    made = mt.Call("omegaconf.dictconfig.DictConfig", (),
                   {"_metadata": mt.Call("omegaconf.base.ContainerMetadata"), "_parent": parent,
                    "_content": content})
    for key, value in values.items():
        content[key] = (container(value, made) if isinstance(value, dict) else
                        node(value, made))
    return made


def write(folder: Path, tensors, top: dict, lines=LINES, name="dict.txt") -> list:
    shared = {}
    model = collections.OrderedDict((k, mt.as_call(v, shared)) for k, v in tensors.items())
    mt.write_zip(folder / "checkpoint_best.pt", {**top, "model": model})
    if lines is not None:
        data = lines if isinstance(lines, bytes) else lines.encode()
        (folder / name).write_bytes(data)
    return [folder]


def model(tensors=None, lines=LINES, args=None, **changes):
    """A checkpoint with a Namespace of arguments; a change of ... leaves the key out."""
    values = {k: v for k, v in {**(args or ARGS), **changes}.items() if v is not ...}

    def make(folder: Path) -> list:
        found = tensors() if callable(tensors) else tensors
        return write(folder, state() if found is None else found, {"args": space(values)}, lines)

    return make


def cfg(build, tensors=None):
    """A checkpoint with a cfg that build() makes."""
    return lambda folder: write(folder, tensors or state(), {"args": None, "cfg": build()})


def parts(**changes) -> dict:
    values = {**ARGS, **changes}
    return {"model": {"_name": values.pop("arch"), **values}, "task": {"_name": values.pop("task")}}


def nested():
    """As 1.0.0a0 has it: the decoder's values in a map of their own."""
    values = dict(ARGS, _name="transformer_lm")
    inner = {k.removeprefix("decoder_"): values.pop(k) for k in ARGS if k.startswith("decoder_")}
    return {"model": {**values, "decoder": inner}, "task": {"_name": "language_modeling"}}


def with_space():
    return {"model": space({**ARGS, "_name": "transformer_lm"}), "task": None}


def pointing(where, **more):
    """One value is found elsewhere."""
    made = parts(max_target_positions=where)
    made["task"] |= {"positions": 16, "again": "${task.positions}", **more}
    return made


def extra(**tensors):
    return lambda: state() | {f"decoder.layers.0.{k}": v for k, v in tensors.items()}


def words(text, number_of=WORDS):
    """A dictionary whose last line is another."""
    return "".join(LINES.splitlines(True)[: number_of - 1]) + text


def odd():
    """Fifteen wide, three heads: the last column of the positions is zero."""
    made = {}
    for name, (dtype, shape, _) in state().items():
        wide = tuple(15 if length == WIDTH else length for length in shape)
        made[name] = mt.random_tensor(name, wide) if NUMBER not in name else number(3.0)
    made["decoder.output_projection.weight"] = made["decoder.embed_tokens.weight"]
    return made


def narrow(width=6, project=None, embedded=None, out=None):
    """A model whose output takes vectors of another width."""
    found = state(tied=False)
    if embedded is not None:
        found["decoder.embed_tokens.weight"] = mt.random_tensor("words", (WORDS + 4, embedded))
        found["decoder.project_in_dim.weight"] = mt.random_tensor("in", (WIDTH, embedded))
    if project is not None:
        found["decoder.project_out_dim.weight"] = mt.random_tensor("out", project)
    if out is not None:
        found["decoder.output_projection.weight"] = mt.random_tensor("words", (out, width))
    return found


def untied(**changes):
    return {"share_decoder_input_output_embed": False, "decoder_output_dim": 6, **changes}


PAIR = {"arch": "bart_base", "task": "translation", "source_lang": "en", "target_lang": "de",
        "share_all_embeddings": True, "activation_fn": "gelu", "max_source_positions": 16,
        "max_target_positions": 16}
for side_ in ("encoder", "decoder"):
    PAIR |= {f"{side_}_layers": 1, f"{side_}_embed_dim": WIDTH, f"{side_}_ffn_embed_dim": FFN,
             f"{side_}_attention_heads": 2, f"{side_}_learned_pos": True}


def pair(rows=WORDS + 4) -> dict:
    """An encoder and a decoder as BART has them, all with one table of words."""
    norms = ("self_attn_layer_norm", "encoder_attn_layer_norm", "final_layer_norm")
    words = mt.random_tensor("words", (rows, WIDTH))
    found = {}
    for side in ("encoder", "decoder"):
        found[f"{side}.embed_tokens.weight"] = words
        found[f"{side}.embed_positions.weight"] = mt.random_tensor(side, (16 + 2, WIDTH))
        found[f"{side}.layernorm_embedding.weight"] = mt.random_tensor("e", (WIDTH,), mean=1.0)
        found[f"{side}.layernorm_embedding.bias"] = mt.random_tensor("b", (WIDTH,))
        kinds = norms if side == "decoder" else norms[::2]
        for name, value in layer(side, kinds).items():
            found[f"{side}.layers.0.{name}"] = value
            if side == "decoder" and name.startswith("self_attn."):
                found[f"{side}.layers.0.encoder_attn.{name[10:]}"] = value
    found["decoder.output_projection.weight"] = words
    return found


def sentences(embedding_norm="layernorm_embedding", final_norm=False) -> dict:
    """RoBERTa's encoder: its embeddings have had two names for their norm."""
    at = "encoder.sentence_encoder"
    norms = [f"{at}.{embedding_norm}"] + [f"{at}.layer_norm"] * final_norm
    found = {f"{at}.embed_tokens.weight": mt.random_tensor("words", (WORDS + 4, WIDTH)),
             f"{at}.embed_positions.weight": mt.random_tensor("positions", (16 + 2, WIDTH))}
    for number_, norm in enumerate(norms):
        found[f"{norm}.weight"] = mt.random_tensor(f"w{number_}", (WIDTH,), mean=1.0)
        found[f"{norm}.bias"] = mt.random_tensor(f"b{number_}", (WIDTH,))
    found |= {f"{at}.layers.0.{name}": value for name, value in layer("encoder").items()}
    return found | ({f"{at}.version": number(3.0)} if final_norm else {})


ROBERTA = {"arch": "roberta_base", "task": "translation", "encoder_layers": 1,
           "encoder_embed_dim": WIDTH, "encoder_ffn_embed_dim": FFN, "encoder_attention_heads": 2,
           "max_positions": 16}


def roberta(tensors=None, **changes):
    return model(**{"tensors": tensors or sentences(), "args": ROBERTA, **changes})


def bart(rows=WORDS + 4, **changes):
    return model(**{"tensors": lambda: pair(rows), "args": PAIR, **changes})


def as_half(tensors: dict) -> dict:
    return {name: ("float16", shape, struct.pack(
        f"<{len(data) // 4}e", *struct.unpack(f"<{len(data) // 4}f", data)))
            for name, (_, shape, data) in tensors.items()}


def averaged() -> dict:
    """As average_checkpoints.py leaves it: what was tied is there twice."""
    found = state()
    dtype, shape, data = found["decoder.output_projection.weight"]
    found["decoder.output_projection.weight"] = dtype, shape, bytes(bytearray(data))
    return found


def in_training(mebibytes: int):
    """With a state of the optimizer, of which nothing fits into memory twice."""

    def make(folder: Path) -> list:
        count = mebibytes << 18
        moment = mt.View(mt.Storage(bytes(4 * count)), (count,))
        return write(folder, state(), {"args": space(ARGS), "last_optimizer_state": {
            "state": {0: {"exp_avg": moment, "exp_avg_sq": moment}}}})

    return make


MANY = {"task": "translation_from_pretrained_bart", "langs": "en,fr,de"}
