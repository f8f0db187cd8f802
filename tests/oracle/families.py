"""families.py - random RoBERTa, XLM-R, CamemBERT and DistilBERT models of all heads, against the real
transformers; and the model types that are refused.

    EET_BIN=build/release/bin families.py [COUNT [SEED]]

A model is of transformers' own class, with a configuration and rows of ids that are drawn, padding
tokens before, between and behind among them, no mask: what it computes in float64 is what eet-encode has
to give from the file that save_pretrained wrote. REFUSED are written likewise, and must be refused by
the name of their architecture.
"""

import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import warnings

warnings.filterwarnings("ignore")

import numpy
import torch
import transformers

transformers.logging.set_verbosity_error()
BIN = pathlib.Path(os.environ["EET_BIN"])
HEADS = {
    "Model": None,
    "ForMaskedLM": "mlm",
    "ForCausalLM": "lm",
    "ForSequenceClassification": "sequence",
    "ForTokenClassification": "token",
    "ForMultipleChoice": "choice",
    "ForQuestionAnswering": "qa",
}
FAMILIES = ("Roberta", "XLMRoberta", "Camembert", "DistilBert")
ACTS = ("gelu", "relu", "gelu_new", "silu", "gelu_python")

REFUSED = """
    AlbertForMaskedLM MPNetForMaskedLM ElectraForPreTraining DebertaForMaskedLM
    DebertaV2ForMaskedLM LongformerForMaskedLM T5ForConditionalGeneration GPTJForCausalLM
    GPTNeoForCausalLM GPTNeoXForCausalLM LlamaForCausalLM XLMRobertaXLForMaskedLM
    RoFormerForMaskedLM BigBirdForMaskedLM XLNetLMHeadModel FunnelForMaskedLM OPTForCausalLM
    BloomForCausalLM CTRLLMHeadModel OpenAIGPTLMHeadModel MistralForCausalLM FalconForCausalLM
    MegatronBertForMaskedLM ConvBertForMaskedLM SqueezeBertForMaskedLM MobileBertForMaskedLM
    NystromformerForMaskedLM IBertForMaskedLM RobertaPreLayerNormForMaskedLM MambaForCausalLM
    ErnieForMaskedLM PhiForCausalLM
""".split()
SMALL = dict(
    vocab_size=60,
    hidden_size=16,
    num_hidden_layers=1,
    num_attention_heads=2,
    intermediate_size=16,
    max_position_embeddings=32,
)
OWN = {  # keys of their own, where SMALL is not what makes them small
    "AlbertForMaskedLM": dict(embedding_size=8),
    "ElectraForPreTraining": dict(embedding_size=8),
    "T5ForConditionalGeneration": dict(d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2),
    "GPTJForCausalLM": dict(rotary_dim=4),
    "GPTNeoForCausalLM": dict(num_layers=1, num_heads=2, attention_types=[[["global"], 1]]),
    "LlamaForCausalLM": dict(num_key_value_heads=2),
    "LongformerForMaskedLM": dict(attention_window=[4]),
    "BigBirdForMaskedLM": dict(attention_type="original_full"),
    "XLNetLMHeadModel": dict(d_model=16, n_layer=1, n_head=2, d_inner=16),
    "FunnelForMaskedLM": dict(d_model=16, n_head=2, d_head=8, d_inner=16, block_sizes=[1]),
    "OPTForCausalLM": dict(word_embed_proj_dim=16, ffn_dim=16),
    "BloomForCausalLM": dict(n_layer=1, n_head=2),
    "CTRLLMHeadModel": dict(n_embd=16, dff=16, n_layer=1, n_head=2, n_positions=32),
    "OpenAIGPTLMHeadModel": dict(n_embd=16, n_layer=1, n_head=2, n_positions=32),
    "MistralForCausalLM": dict(num_key_value_heads=2),
    "ConvBertForMaskedLM": dict(embedding_size=16),
    "SqueezeBertForMaskedLM": dict(embedding_size=16),
    "MobileBertForMaskedLM": dict(embedding_size=8, intra_bottleneck_size=8),
    "NystromformerForMaskedLM": dict(num_landmarks=4, segment_means_seq_len=4),
}


def run(name, *arguments, rows=""):
    """A command's exit code and what it said."""
    told = subprocess.run(
        [BIN / name, *arguments], input=rows, capture_output=True, text=True, check=False
    )
    return told.returncode, told.stdout, told.stderr


def draw_config(draw, family, head):
    """A configuration, and how long a row may be."""
    heads, width = draw.choice([(1, 7), (2, 4), (3, 5), (2, 16)])
    vocab, rows = draw.randint(20, 90), draw.randint(12, 50)
    act, width = draw.choice(ACTS), heads * width
    more = dict(vocab_size=vocab, tie_word_embeddings=draw.random() < 0.7)
    if head not in ("ForMultipleChoice", "ForQuestionAnswering"):
        more["num_labels"] = draw.randint(1, 5)
    if family == "DistilBert":
        more.update(dim=width, n_heads=heads, n_layers=draw.randint(1, 3), activation=act)
        more.update(hidden_dim=draw.randint(4, 40), max_position_embeddings=rows)
        return dict(more, sinusoidal_pos_embds=draw.random() < 0.5), rows
    pad = draw.choice([1, 1, 0, 5])
    more.update(hidden_size=width, num_attention_heads=heads, hidden_act=act, pad_token_id=pad)
    more.update(num_hidden_layers=draw.randint(1, 3), intermediate_size=draw.randint(4, 40))
    more.update(type_vocab_size=draw.choice([1, 1, 2]), is_decoder=head == "ForCausalLM")
    more.update(layer_norm_eps=draw.choice([1e-5, 1e-12, 1e-3]))
    return dict(more, max_position_embeddings=rows + pad + 1), rows


def draw_model(draw, family, head):
    """A model with seeded weights that all leave their mark, and its rows of ids."""
    kind = getattr(transformers, family + head)
    fields, most = draw_config(draw, family, head)
    model = kind(kind.config_class(**fields, attn_implementation="eager")).eval()
    torch.manual_seed(draw.randrange(2**31))
    for _, parameter in sorted(model.named_parameters()):
        noise = torch.randn(parameter.shape)
        if parameter.dim() == 1:
            parameter.data += 0.2 * noise
        else:
            parameter.data = noise * (0.5 if len(parameter) > most else parameter.shape[1] ** -0.5)
    positions = model.base_model.embeddings.position_embeddings
    if positions.padding_idx is not None:  # training leaves it as it was
        positions.weight.data[positions.padding_idx] = 0
    model.tie_weights()
    pad, rows = model.config.pad_token_id, []
    for _ in range(6):
        ids = [draw.randrange(fields["vocab_size"]) for _ in range(draw.randint(1, most))]
        for place in draw.choice([[], [0], [-1], [0, len(ids) // 2], [len(ids) // 2, -1]]):
            ids[place] = pad
        rows.append(ids)
    return model, rows


def truth_of(model, ids, head):
    """What transformers gives in float64: hidden states, and the head's values."""
    inputs = torch.tensor([ids])
    with torch.no_grad():
        body = model.base_model(inputs)
        if head == "ForMultipleChoice":
            inputs = inputs[None]
        found = model(inputs)
    truth = {None: body.last_hidden_state[0]}
    if head == "Model":
        if getattr(body, "pooler_output", None) is not None:
            truth["pooler"] = body.pooler_output[0]
    elif head == "ForQuestionAnswering":
        truth["qa"] = torch.stack([found.start_logits[0], found.end_logits[0]], -1)
    else:
        truth[HEADS[head]] = found.logits[0]
    return {key: value.numpy() for key, value in truth.items()}


def compare(model, rows, head, folder):
    """Converts the model in `folder` and says how far eet-encode is off at most."""
    output = folder.with_suffix(".eet")
    code, _, said = run("eet-convert", folder, "-o", output)
    assert code == 0, said
    exact = type(model).from_pretrained(
        folder, torch_dtype=torch.float64, attn_implementation="eager"
    )
    truths = [truth_of(exact.eval(), ids, head) for ids in rows]
    text = "".join(json.dumps({"ids": ids}) + "\n" for ids in rows)
    worst = 0
    for key in truths[0]:
        how = ["--pooling", "none"] if key is None else ["--head", key]
        code, told, said = run("eet-encode", output, *how, "--threads", "1", rows=text)
        assert code == 0, said
        lines = [json.loads(line) for line in told.splitlines()]
        for truth, line in zip(truths, lines, strict=True):
            value = numpy.array(line["hidden" if key is None else "values"])
            assert value.shape == truth[key].shape, (key, value.shape, truth[key].shape)
            bound = numpy.maximum(1, abs(truth[key]).max())
            worst = max(worst, (abs(value - truth[key]) / bound).max())
    return worst


def try_models(count, seed, place):
    """Compares `count` drawn models; the number of those that differ."""
    draw = random.Random(seed)
    pairs = [
        (f, h) for f in FAMILIES for h in HEADS if (f, h) != ("DistilBert", "ForCausalLM")
    ]
    bad, most = 0, 0.0
    for number in range(count):
        family, head = pairs[number % len(pairs)]
        model, rows = draw_model(draw, family, head)
        folder = place / f"{family}{head}{number}"
        model.save_pretrained(folder, safe_serialization=draw.random() < 0.5)
        try:
            worst = compare(model, rows, head, folder)
        except AssertionError as problem:
            print(f"{folder.name}: {problem}")
            bad += 1
            continue
        most = max(most, worst)
        if worst > 1e-4:
            print(f"{folder.name}: a value is off by {worst:.1e}: {model.config}")
            bad += 1
    print(f"{count} models of {len(pairs)} classes: off by {most:.1e} at most (1e-4 allowed)")
    return bad


def try_refusals(place):
    """Are all of REFUSED refused, as not supported, by name?"""
    bad = 0
    for name in REFUSED:
        kind = getattr(transformers, name)
        config = kind.config_class()
        for key, value in {**SMALL, **OWN.get(name, {})}.items():
            if key in config.to_dict() or key in config.attribute_map:
                setattr(config, key, value)
        folder = place / name
        kind(config).save_pretrained(folder)
        told = json.loads((folder / "config.json").read_text())
        for change in ({}, {"architectures": None}):  # the architecture, or the type of model alone
            (folder / "config.json").write_text(json.dumps({**told, **change}))
            code, _, said = run("eet-convert", folder, "-o", folder.with_suffix(".eet"))
            wanted = told["model_type"] if change else name
            if code != 3 or f'"{wanted}" is not supported' not in said:
                print(f"{name} {change}: exit {code}: {said}")
                bad += 1
    print(f"{len(REFUSED)} types of models: refused by their names")
    return bad


def main():
    """Both, in a place that is taken away afterwards."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 54
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place:
        bad = try_models(count, seed, pathlib.Path(place))
        bad += try_refusals(pathlib.Path(place))
    sys.exit(bad > 0)


main()
