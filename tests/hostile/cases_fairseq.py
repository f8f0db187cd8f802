"""Checkpoints of Fairseq and the dictionaries beside them: numbers 36, 72 to 80 of
docs/refusals.md."""
import collections
import os
import struct
import subprocess
from pathlib import Path

import make_torch as mt
from hostile import Case

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


def accept(number_, name, make, says="", same_as=None, **more):
    return Case(number_, name, make, 0, says, same_as=same_as or model(), **more)


def refuse(number_, name, make, code, says, **more):
    return Case(number_, name, make, code, says, **more)


def refused_key(key, value, says):
    return refuse(79, f"{key}={value}", model(**{key: value}), 3, says)


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


def bart(rows=WORDS + 4, **changes):
    return model(**{"tensors": lambda: pair(rows), "args": PAIR, **changes})


def facts(**expected):
    """What eet-inspect says of both stacks, by keys whose points are written __."""

    def check(_, output):
        for key, value in expected.items():
            for stack in ("enc", "dec"):
                told = subprocess.run(
                    [Path(os.environ["EET_BIN"]) / "eet-inspect", "--key",
                     f"{stack}.{key.replace('__', '.')}", output],
                    capture_output=True, text=True, check=True).stdout.strip()
                assert told == value, f"{stack} {key} is {told}, expected {value}"

    return check


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


def target(**expected):
    """What eet-inspect says of the decoder."""

    def check(_, output):
        for key, value in expected.items():
            told = subprocess.run(
                [Path(os.environ["EET_BIN"]) / "eet-inspect", "--key",
                 f"dec.{key.replace('__', '.')}", output],
                capture_output=True, text=True, check=True).stdout.strip()
            assert told == value, f"dec {key} is {told}, expected {value}"

    return check


def answers(output: Path) -> str:
    """Six tokens of an answer, with the likeliest of each and how likely they are."""
    return subprocess.run(
        [Path(os.environ["EET_BIN"]) / "eet-run", output, "--source-ids", "5,6,7,2", "--ids", "2,0",
         "-n", "6", "--logprobs", "5", "--json"], capture_output=True, text=True, check=True).stdout


def answers_as(make):
    """What another checkpoint answers, to the last digit."""

    def check(folder, output):
        other = folder / "other"
        other.mkdir()
        made = other / "model.eet"
        subprocess.run([Path(os.environ["EET_BIN"]) / "eet-convert", *make(other), "-q", "-o", made],
                       capture_output=True, check=True)
        assert answers(output) == answers(made), f"{answers(output)}\n{answers(made)}"

    return check


MANY = {"task": "translation_from_pretrained_bart", "langs": "en,fr,de"}

CASES = [
    Case(76, "languages behind the words", bart(WORDS + 8, **MANY), 0,
         check=facts(vocab__size="15", tok__mask="14")),
    Case(76, "a text begins and ends with its language", bart(WORDS + 8, **MANY), 0,
         check=target(start="13", tok__eos="13")),
    Case(76, "a language that the dictionary has", bart(
        WORDS + 7, lines=words("[de] 1\n"), **MANY), 0,
        check=target(start="10", tok__eos="10", tok__mask="13")),
    Case(76, "a language twice", bart(WORDS + 8, **MANY | {"langs": "en,fr,de,fr"}), 0,
         check=target(start="13", tok__mask="14")),
    Case(76, "a target that is none of the languages", bart(
        WORDS + 8, **MANY | {"target_lang": "it"}), 0,
        check=target(start="2", tok__eos="2")),
    Case(76, "denoising of languages without words of theirs", bart(
        WORDS + 5, task="multilingual_denoising", langs="en,fr,de"), 0,
        check=target(vocab__size="12", tok__mask="11", tok__eos="2")),
    Case(76, "denoising of languages with words of theirs", bart(
        WORDS + 8, task="multilingual_denoising", langs="en,fr,de", add_lang_token=True), 0,
        check=target(vocab__size="15", tok__mask="14", tok__eos="2")),
    Case(76, "denoising of languages that nothing names", bart(
        WORDS + 8, task="multilingual_denoising", add_lang_token=True), 0,
        "the last 4 have no name", check=target(vocab__size="15", tok__mask="-1")),
    refuse(76, "more languages than rows", bart(WORDS + 5, **MANY), 4,
           "makes 15 words, and the model has 12"),
    refuse(76, "a language that is a path", bart(
        WORDS + 8, **MANY | {"langs": "en,../../etc,de"}), 4, "expected languages as in"),
    refuse(76, "a language without a name", bart(WORDS + 8, **MANY | {"langs": "en,,de"}), 4,
           "expected languages as in"),
    refuse(76, "languages as a list", bart(WORDS + 8, **MANY | {"langs": 3}), 4,
           '"langs" is an integer, expected a string'),
    refuse(76, "languages without an end", bart(WORDS + 8, **MANY | {"langs": "de," * 1000}), 3,
           'the configuration\'s "langs" is a string, which is not understood'),
    refuse(76, "languages that end in a comma", bart(WORDS + 8, **MANY | {"langs": "de,"}), 4,
           "expected languages as in"),
    Case(76, "languages of a task that adds none", bart(
        task="translation_multi_simple_epoch", langs=["en", "de"]), 0,
        check=target(vocab__size="11", start="2")),
    accept(36, "getattr of an enumeration, as Python 3.11 writes it", cfg(lambda: container(parts(
        activation_fn=mt.Call("builtins.getattr", (mt.Global("fairseq.dataclass.Act"), "gelu"))))),
        options=("-q",)),
    accept(72, "args", model()),
    accept(72, "cfg of plain maps", cfg(lambda: parts())),
    accept(72, "cfg of OmegaConf, a cycle to each parent", cfg(lambda: container(parts()))),
    accept(72, "cfg of maps in maps", cfg(nested)),
    accept(72, "cfg.model a Namespace", cfg(with_space)),
    accept(72, "sizes of the architecture", model(
        decoder_attention_heads=..., decoder_layers=..., arch="transformer_lm_gpt2_tiny",
        decoder_normalize_before=...), says="",
        same_as=model(decoder_attention_heads=1)),
    accept(72, "an enumeration", model(activation_fn=mt.Call("fairseq.dataclass.Act", ("gelu",)))),
    accept(72, "an enumeration as Python 3.11 has it", model(activation_fn=mt.Call(
        "builtins.getattr", (mt.Global("fairseq.dataclass.Act"), "gelu")))),
    accept(72, "a value not given", model(max_target_positions="???"),
           same_as=model(max_target_positions=...)),
    refuse(72, "an object", model(decoder_layers=mt.Call("fairseq.Layers", (2, 3))), 3,
           'the configuration\'s "decoder_layers" is fairseq.Layers, which is not understood'),
    refuse(72, "bytes", model(activation_fn=bytearray(b"gelu")), 3, "which is not understood"),
    refuse(72, "neither", lambda folder: write(folder, state(), {"args": None, "cfg": None}), 2,
           "there is no config.json beside it"),
    refuse(72, "an architecture of somebody's own", model(arch="transformer_lm_mine"), 3,
           'architecture "transformer_lm_mine" is not supported'),
    refuse(72, "another model", model(arch="lstm_lm"), 3, 'architecture "lstm_lm"'),
    accept(72, "one of somebody's own, by --arch", model(arch="transformer_lm_mine"),
           options=("--arch", "fairseq_lm")),
    accept(73, "interpolation", cfg(lambda: container(pointing("${task.positions}")))),
    accept(73, "interpolation in two steps", cfg(lambda: pointing("${task.again}"))),
    accept(73, "one that leads nowhere", cfg(lambda: parts(max_target_positions="${env:HOME}")),
           same_as=model(max_target_positions=...)),
    refuse(73, "a circle", cfg(lambda: pointing("${task.a}", a="${task.b}", b="${task.a}")), 4,
           "leads from key to key without an end"),
    refuse(73, "to itself", cfg(lambda: container(pointing("${model.max_target_positions}"))), 4,
           "leads from key to key without an end"),
    accept(74, "version 2", model(lambda: state(version=2.0)), '"decoder.version" is 2',
           same_as=model(lambda: state(norm=False))),
    accept(74, "version 1", model(lambda: state(version=1.0)), '"decoder.version" is 1',
           same_as=model(lambda: state(norm=False))),
    accept(74, "version 2 without a norm", model(lambda: state(version=2.0, norm=False)),
           same_as=model(lambda: state(norm=False))),
    refuse(74, "no version", model(lambda: state(version=None)), 2, "--final-norm keep or"),
    accept(74, "no version, keep", model(lambda: state(version=None)),
           options=("--final-norm", "keep")),
    accept(74, "no version, drop", model(lambda: state(version=None)),
           same_as=model(lambda: state(norm=False)), options=("--final-norm", "drop")),
    accept(74, "no version and no norm", model(lambda: state(version=None, norm=False)),
           same_as=model(lambda: state(norm=False))),
    refuse(74, "two versions", model(lambda: state() | {
        NUMBER: ("float32", (2,), struct.pack("<2f", 3, 3))}), 4, "is not one number"),
    accept(75, "fused, numbered, tied", model(lambda: renamed(state()))),
    accept(75, "embed_out", model(lambda: {
        **state(tied=False), "decoder.embed_out": mt.random_tensor("out", (WORDS + 4, WIDTH))},
        share_decoder_input_output_embed=False), same_as=model(lambda: {
            **state(tied=False), "decoder.output_projection.weight":
            mt.random_tensor("out", (WORDS + 4, WIDTH))}, share_decoder_input_output_embed=False)),
    refuse(75, "fused and split", model(lambda: renamed(state()) | state()), 2,
           "two tensors are the same part of the model"),
    refuse(75, "no projection, not tied", model(
        lambda: state(tied=False), share_decoder_input_output_embed=False), 4,
        "are missing: decoder.output_projection.weight"),
    accept(75, "a projection of the output", model(
        lambda: narrow(6, (6, WIDTH), out=WORDS + 4), **untied()), same_as=model(
            lambda: narrow(6, (6, WIDTH), out=WORDS + 4), **untied())),
    refuse(75, "a projection of the output is missing", model(
        lambda: narrow(6, None, out=WORDS + 4), **untied()), 4,
        'takes 6 values, and hidden is 8: there is no decoder.project_out_dim.weight'),
    refuse(75, "... where words are tied", model(
        lambda: narrow(6, None, embedded=6), decoder_input_dim=6, decoder_output_dim=6), 4,
        "there is no decoder.project_out_dim.weight"),
    refuse(75, "a projection of more values than the words take", model(
        lambda: narrow(6, (WIDTH, WIDTH), embedded=6), decoder_input_dim=6), 4,
        'head "lm" takes 6 values, and decoder.project_out_dim.weight gives 8'),
    refuse(75, "a projection that takes too many values", model(
        lambda: narrow(6, (6, WIDTH + 1), out=WORDS + 4), **untied()), 4,
        '"decoder.project_out_dim.weight" is (6, 9), expected (6, 8)'),
    refuse(75, "a projection that gives too many values", model(
        lambda: narrow(6, (7, WIDTH), out=WORDS + 4), **untied()), 4,
        '"decoder.project_out_dim.weight" is (7, 8), expected (6, 8)'),
    refuse(75, "a projection that is a vector", model(
        lambda: narrow(6, (6 * WIDTH,), out=WORDS + 4), **untied()), 4,
        '"decoder.project_out_dim.weight" is (48), expected (6, 8)'),
    accept(76, "an output of all words", model(output_dictionary_size=WORDS + 4)),
    accept(76, "an output of more than all words", model(output_dictionary_size=1 << 40)),
    accept(76, "an output of words as they are", model(output_dictionary_size=-1)),
    refuse(76, "an output of fewer words", model(
        lambda: narrow(WIDTH, out=WORDS), **untied(decoder_output_dim=WIDTH),
        output_dictionary_size=WORDS), 3,
        'fewer words than the input ("output_dictionary_size" is 7, and the vocabulary has 11)'),
    refuse(76, "an output of fewer words, tied", model(output_dictionary_size=WORDS), 3,
           '"output_dictionary_size" is 7'),
    refuse(76, "an output of fewer words in the task", cfg(lambda: {
        **parts(), "task": {"_name": "language_modeling", "output_dictionary_size": WORDS}}), 3,
        '"output_dictionary_size" is 7'),
    refuse(76, "an output of fewer words that nothing names", model(
        lambda: narrow(WIDTH, out=WORDS), **untied(decoder_output_dim=WIDTH)), 4,
        '"decoder.output_projection.weight" is (7, 8), expected (11, 8)'),
    refuse(76, "an output of no words", model(output_dictionary_size=0), 4,
           "expected -1 or a number of words"),
    refuse(76, "an output of many words", model(output_dictionary_size="many"), 4,
           "expected an integer"),
    Case(76, "BART", bart(), 0, check=facts(vocab__size="11", vocab__rows="11")),
    Case(76, "BART with the row of a <mask> that the dictionary lacks", bart(WORDS + 5), 0,
         "the last, that of <mask>, counts for nothing, as in Fairseq",
         check=facts(vocab__size="11", vocab__rows="12", tok__mask="-1")),
    Case(76, "... and answers as without it", bart(WORDS + 5), 0, check=answers_as(bart())),
    Case(76, "BART with a <mask> in the dictionary",
         bart(WORDS + 5, lines=LINES + "<mask> 1\n"), 0,
         check=facts(vocab__size="12", vocab__rows="12", tok__mask="11")),
    Case(76, "BART with a <mask> of its task's", bart(WORDS + 5, task="denoising"), 0,
         check=facts(vocab__size="12", vocab__rows="12", tok__mask="11")),
    Case(76, "BART with two rows more", bart(WORDS + 6), 0, "the last 2 have no name",
         check=facts(vocab__size="13", vocab__rows="13", tok__mask="-1")),
    Case(77, "BART's positions begin behind the padding's", bart(), 0,
         check=facts(pos__rows="16", pos__skip_pad="true", tok__pad="1")),
    refuse(77, "fewer rows of positions than the padding has", bart(
        tensors=lambda: pair() | {"encoder.embed_positions.weight": mt.random_tensor(
            "encoder", (2, WIDTH))}), 4, "pos.rows"),
    accept(80, "averaged", model(averaged)),
    accept(80, "of halves", model(lambda: as_half(state())), same_as=model(
        lambda: as_half(averaged()))),
    accept(80, "with a state of training larger than the memory", in_training(192),
           memory=160 << 20),
    refuse(79, "tokens of languages in the place of others",
           bart(lang_tok_replacing_bos_eos=True), 3, "language tokens in the place of others"),
    accept(76, "a word fewer than rows", model(lines=words("", WORDS)),
           "makes 10 words, and the model has 11", same_as=model(lines=words("", WORDS))),
    refuse(76, "65 words fewer", model(lines="", tensors=lambda: {
        k: (mt.random_tensor(k, (69, WIDTH)) if v[1] == (11, WIDTH) else v)
        for k, v in state().items()}, share_decoder_input_output_embed=False), 4,
        "makes 4 words, and the model has 69"),
    refuse(76, "a word more than rows", model(lines=LINES + "more 1\n"), 4,
           "makes 12 words, and the model has 11"),
    refuse(76, "a word twice", model(lines=words("w0 5\n")), 4, 'the word "w0" stands twice'),
    refuse(76, "a special word", model(lines=words("<pad> 5\n")), 4, '"<pad>" stands twice'),
    accept(76, "a word twice that overwrites", model(lines=words("w0 5 #fairseq:overwrite\n")),
           same_as=model(lines=words("w0 5 #fairseq:overwrite\n"))),
    accept(76, "a word with spaces", model(lines=words("new york 5\n")),
           same_as=model(lines=words("new york 5\n"))),
    accept(76, "carriage returns", model(lines=LINES.replace("\n", "\r\n")),
           same_as=model(lines=LINES.replace("\n", "\r\n"))),
    refuse(76, "no count", model(lines=words("alone\n")), 4, "line 7 is not a word, a space"),
    refuse(76, "an empty line", model(lines=words("\n")), 4, "line 7 is not a word, a space"),
    refuse(76, "a count in words", model(lines=words("w many\n")), 4, "line 7 is not a word"),
    refuse(76, "a zero byte", model(lines=words("w\0 5\n")), 4, "line 7 holds a zero byte"),
    refuse(76, "not UTF-8", model(lines=LINES.encode() + b"\xff 5\n"), 4, "it is not UTF-8"),
    accept(76, "no dictionary", model(lines=None), "there is no dict.txt beside it",
           same_as=model(lines=None)),
    refuse(76, "a path for a language", model(
        arch="transformer", source_lang="../../etc/passwd", encoder_embed_dim=8), 4,
        "no language"),
    accept(78, "an odd width", model(odd, decoder_embed_dim=15, decoder_attention_heads=3,
                                     decoder_input_dim=15, decoder_output_dim=15),
           same_as=model(odd, decoder_embed_dim=15, decoder_attention_heads=3,
                         decoder_input_dim=15, decoder_output_dim=15)),
    refuse(78, "a table of gigabytes", model(max_target_positions=16777216), 6,
           "a sinusoidal table of 16777216 x 8 values"),
    refuse(78, "no positions at all", model(max_target_positions=0), 4,
           '"max_target_positions" is 0'),
    refused_key("adaptive_softmax_cutoff", "20000,60000", "an adaptive softmax"),
    refused_key("adaptive_input", True, "adaptive input"),
    refused_key("character_embeddings", True, "an embedding of characters"),
    refused_key("no_token_positional_embeddings", True, "a model without positions"),
    refused_key("base_layers", 1, "BASE layers"),
    refused_key("scale_heads", True, "NormFormer"),
    refused_key("quant_noise_pq", 0.1, "quantisation noise"),
    refused_key("quant_noise_scalar", 0.5, "quantisation noise"),
    refused_key("activation_fn", "glu", 'activation "glu"'),
    refuse(79, "add_bias_kv", model(extra(**{"self_attn.bias_k": number(1)})), 3,
           'add_bias_kv) (tensor "decoder.layers.0.self_attn.bias_k")'),
    refuse(79, "NormFormer", model(extra(**{"attn_ln.weight": number(1)})), 3,
           'NormFormer (tensor "decoder.layers.0.attn_ln.weight")'),
    refuse(79, "cross_self_attention", model(
        arch="transformer", cross_self_attention=True, encoder_embed_dim=8), 3,
        "attention to source and target at once"),
    refuse(79, "a shard of FSDP", lambda folder: write(
        folder, state(), {"args": space(ARGS), "fsdp_metadata": {"shard": 0}}), 3,
        "a shard of Fairseq's fully_sharded training"),
    refuse(79, "a part of a model", model(model_parallel_size=4), 3,
           "one of 4 parts of a model-parallel checkpoint"),
    accept(79, "layers to keep", model(lambda: state((0, 1, 2, 3)), decoder_layers=4,
                                       decoder_layers_to_keep="3,1"),
           same_as=model(lambda: state((1, 3)))),
    accept(79, "layers kept already", model(lambda: state((1, 3)),
                                            decoder_layers_to_keep="1,3"),
           same_as=model(lambda: state((1, 3)))),
    refuse(79, "layers that are no numbers", model(decoder_layers_to_keep="1,x"), 4,
           'expected layers as in "0,2,4"'),
]
