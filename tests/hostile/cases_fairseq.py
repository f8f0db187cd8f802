"""Checkpoints of Fairseq and the dictionaries beside them: numbers 36, 72 to 80 of
docs/refusals.md."""
import os
import struct
import subprocess
from pathlib import Path

import make_torch as mt
from hostile import Case
from make_fairseq import (ARGS, LINES, MANY, NUMBER, WIDTH, WORDS, as_half, averaged, bart, cfg,
                          container, extra, in_training, model, narrow, nested, number, odd, pair,
                          parts, pointing, renamed, roberta, sentences, space, state, untied,
                          with_space, words, write)


def accept(number_, name, make, says="", same_as=None, **more):
    return Case(number_, name, make, 0, says, same_as=same_as or model(), **more)


def refuse(number_, name, make, code, says, **more):
    return Case(number_, name, make, code, says, **more)


def refused_key(key, value, says):
    return refuse(79, f"{key}={value}", model(**{key: value}), 3, says)


def facts(stacks=("enc", "dec"), **expected):
    """What eet-inspect says of stacks, by keys whose points are written __."""

    def check(_, output):
        for key, value in expected.items():
            for stack in stacks:
                told = subprocess.run(
                    [Path(os.environ["EET_BIN"]) / "eet-inspect", "--key",
                     f"{stack}.{key.replace('__', '.')}", output],
                    capture_output=True, text=True, check=True).stdout.strip()
                assert told == value, f"{stack} {key} is {told}, expected {value}"

    return check


def target(**expected):
    return facts(("dec",), **expected)


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


def before(version):
    """BART with the norms of its encoder before its parts, and none behind them."""
    return bart(tensors=lambda: pair() | {"encoder.version": number(version)},
                encoder_normalize_before=True)


def many_pairs(**more):
    return bart(WORDS + 6, task="translation_multi_simple_epoch", langs=["en", "de"], **more)


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
        WORDS + 8, **MANY | {"target_lang": "it"}), 0, "a word of its own, which is not known",
        check=target(start="-1", tok__eos="-1")),
    Case(76, "a dictionary that is not there knows no language", bart(
        WORDS + 8, lines=None, **MANY), 0, "a word of its own, which is not known",
        check=target(start="-1", tok__eos="-1")),
    Case(76, "denoising of languages without words of theirs", bart(
        WORDS + 5, task="multilingual_denoising", langs="en,fr,de"), 0,
        check=target(vocab__size="12", tok__mask="11", tok__eos="2")),
    Case(76, "denoising of languages with words of theirs", bart(
        WORDS + 8, task="multilingual_denoising", langs="en,fr,de", add_lang_token=True,
        target_lang=None), 0, "a word of its own, which is not known",
        check=target(vocab__size="15", tok__mask="14", start="-1", tok__eos="-1")),
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
    Case(76, "languages of a task that adds none", bart(langs=["en", "de"]), 0,
         check=target(vocab__size="11", start="2")),
    Case(76, "languages of many pairs", bart(
        WORDS + 6, task="translation_multi_simple_epoch", langs=["en", "de"]), 0,
        check=target(vocab__size="13", tok__mask="-1", start="2", tok__eos="2")),
    Case(76, "... in the style of mBART", bart(
        WORDS + 7, task="translation_multi_simple_epoch", langs=["en_XX", "de_DE"],
        lang_tok_style="mbart"), 0, check=target(vocab__size="14", tok__mask="13", start="2")),
    Case(76, "... that the dictionary has, and a text that begins with one", bart(
        WORDS + 6, lines=words("__de__ 1\n") + "__en__ 1\n<mask> 1\n", decoder_langtok=True,
        task="translation_multi_simple_epoch", langs="en,de"), 0,
        "begins with </s>, that is 2, and the word of its language",
        check=target(tok__mask="12", start="-1", tok__eos="2")),
    Case(76, "... where a text begins with one by langtoks alone", many_pairs(
        decoder_langtok=False, langtoks={"main": (None, "tgt")}), 0,
        "begins with </s>, that is 2, and the word of its language",
        check=target(start="-1", tok__eos="2")),
    Case(76, "... where langtoks takes back that it does", many_pairs(
        decoder_langtok=True, langtoks={"main": ("src", None), "mined": (None, "tgt")}), 0,
        check=target(start="2", tok__eos="2")),
    Case(76, "... where langtoks is for other texts", many_pairs(
        decoder_langtok=True, langtoks={"mined": (None, None)}), 0, check=target(start="-1")),
    Case(76, "... without langtoks", many_pairs(langtoks=None), 0, check=target(start="2")),
    refuse(76, "... with langtoks that are no pair", many_pairs(langtoks={"main": ("tgt",)}), 4,
           '"langtoks_main" is an array, expected a pair of strings'),
    refuse(76, "... with langtoks that are text", many_pairs(langtoks={"main": "tgt"}), 4,
           "expected a pair of strings"),
    Case(76, "... of more languages than the dictionary has words", bart(
        WORDS + 304, task="translation_multi_simple_epoch", lang_dict="langs.txt"), 0,
        "the last 300 have no name", check=target(vocab__size="311", start="2")),
    Case(76, "... of other kinds of text too", bart(
        WORDS + 9, task="translation_multi_simple_epoch", langs=["en", "de"],
        lang_tok_style="mbart", langtoks_specs=["main", "dae"]), 0, "the last 2 have no name",
        check=target(vocab__size="16", tok__mask="-1")),
    refuse(76, "... in a style of their own", bart(
        task="translation_multi_simple_epoch", lang_tok_style="mine"), 3,
        'words of languages in the style "mine"'),
    refuse(76, "... that are no names", bart(
        task="translation_multi_simple_epoch", langs=["en", "a,b/c"]), 4,
        "expected languages as in"),
    refuse(76, "... without a name", bart(
        task="translation_multi_simple_epoch", langs=["en", ""]), 4, "expected languages as in"),
    refuse(76, "... as numbers", bart(
        task="translation_multi_simple_epoch", langs=[1, 2]), 4, "expected languages as in"),
    refuse(76, "... too many", bart(
        task="translation_multi_simple_epoch", langs=["de"] * 1025), 3, "not understood"),
    Case(76, "back-translation", bart(
        WORDS + 7, task="online_backtranslation", mono_langs="en,de", source_lang=None,
        target_lang=None), 0, "a word of its own, which the model does not name",
        check=target(vocab__size="14", tok__mask="11", start="-1", tok__eos="2")),
    Case(76, "... and what to run next", bart(
        WORDS + 7, task="online_backtranslation", mono_langs="en,de"), 0,
        "--source-ids 1,2,3 --ids 2\n"),
    Case(76, "a mixture of experts over its first word", bart(
        WORDS + 7, task="translation_moe"), 0, "which the model does not name",
        check=target(start="-1", tok__eos="2")),
    Case(76, "a language model of languages", model(
        lines=words("", WORDS - 2), task="multilingual_language_modeling", langs="en,de,fr",
        add_bos_token=True), 0, check=facts(("dec",), vocab__size="11")),
    Case(76, "... without words for them", model(
        lines=words("", WORDS - 2), task="multilingual_language_modeling", langs="en,de,fr"), 0,
         "makes 8 words, and the model has 11; the last 3 have no name"),
    Case(76, "... in the order of the list", bart(
        WORDS + 7, task="online_backtranslation", mono_langs="en,en,de",
        lines=words("__de__ 1\n") + "w 1\n"), 0, check=target(vocab__size="14", tok__mask="12")),
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
    refuse(74, "an encoder without the norm of its version", before(3.0), 4,
           'tensor "encoder.layer_norm.weight" is missing, which counts as "encoder.version" is 3'),
    Case(74, "... that is to be dropped", before(3.0), 0, options=("--final-norm", "drop"),
         check=facts(("enc",), pre_norm="true", final_norm="false")),
    Case(74, "... of a version that has none", before(1.0), 0,
         check=facts(("enc",), pre_norm="true", final_norm="false")),
    refuse(74, "two versions", model(lambda: state() | {
        NUMBER: ("float32", (2,), struct.pack("<2f", 3, 3))}), 4, "is not one number"),
    accept(75, "fused, numbered, tied", model(lambda: renamed(state()))),
    accept(75, "embed_out", model(lambda: {
        **state(tied=False), "decoder.embed_out": mt.random_tensor("out", (WORDS + 4, WIDTH))},
        share_decoder_input_output_embed=False), same_as=model(lambda: {
            **state(tied=False), "decoder.output_projection.weight":
            mt.random_tensor("out", (WORDS + 4, WIDTH))}, share_decoder_input_output_embed=False)),
    accept(75, "norms behind the layers, as RoBERTa had them whatever its arguments say", roberta(
        sentences("emb_layer_norm"), encoder_normalize_before=True),
           same_as=roberta(sentences("emb_layer_norm")),
           check=facts(("enc",), pre_norm="false", emb_norm="true", final_norm="false")),
    accept(75, "... and by today's names", roberta(sentences("emb_layer_norm")),
           same_as=roberta()),
    accept(75, "norms before the layers, as RoBERTa has them today", roberta(
        sentences(final_norm=True), encoder_normalize_before=True),
           same_as=roberta(sentences(final_norm=True), encoder_normalize_before=True),
           check=facts(("enc",), pre_norm="true", emb_norm="true", final_norm="true")),
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
    refuse(79, "add_zero_attn", model(arch="masked_lm", zero_attn=True), 3,
           'a key and a value of zeros (add_zero_attn) ("zero_attn")'),
    refuse(79, "layer_wise_attention", model(arch="transformer", layer_wise_attention=True), 3,
           'attention to each layer of the encoder ("layer_wise_attention")'),
    refused_key("decoder_xformers_att_config", '{"name": "fourier_mix"}', "attention by xFormers"),
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
