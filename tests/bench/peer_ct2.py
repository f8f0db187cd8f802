"""peer_ct2.py - the two models for CTranslate2, described as its own converter for transformers does,
in float32."""
import os
import time

import ctranslate2
import numpy
from ctranslate2.converters import utils
from ctranslate2.specs import common_spec, transformer_spec

import peer_weights


def set_linear(spec, weight, bias):
    spec.weight, spec.bias = numpy.ascontiguousarray(weight), bias


def set_norm(spec, w, name):
    spec.gamma, spec.beta = w[f"{name}.weight"], w[f"{name}.bias"]


def finish(spec, vocab, folder, epsilon):
    spec.register_vocabulary([f"t{i}" for i in range(vocab)])
    for token in ("bos_token", "eos_token", "unk_token"):
        setattr(spec.config, token, f"t{vocab - 1}")
    spec.config.layer_norm_epsilon = epsilon
    spec.validate()
    spec.optimize(quantization=None)
    os.makedirs(folder, exist_ok=True)
    spec.save(folder)


def save_gpt2(folder):
    w, s = peer_weights.make("gpt2"), peer_weights.GPT2
    spec = transformer_spec.TransformerDecoderModelSpec.from_config(
        s["layers"], s["heads"], pre_norm=True, activation=common_spec.Activation.GELUTanh)
    d = spec.decoder
    d.scale_embeddings = False
    d.embeddings.weight = w["wte.weight"]
    d.position_encodings.encodings = w["wpe.weight"]
    d.projection.weight = w["wte.weight"]
    set_norm(d.layer_norm, w, "ln_f")
    for i, layer in enumerate(d.layer):
        set_norm(layer.self_attention.layer_norm, w, f"h.{i}.ln_1")
        set_norm(layer.ffn.layer_norm, w, f"h.{i}.ln_2")
        for part, name in ((layer.self_attention.linear[0], "attn.c_attn"),
                           (layer.self_attention.linear[1], "attn.c_proj"),
                           (layer.ffn.linear_0, "mlp.c_fc"), (layer.ffn.linear_1, "mlp.c_proj")):
            set_linear(part, w[f"h.{i}.{name}.weight"].T, w[f"h.{i}.{name}.bias"])
    finish(spec, s["vocab"], folder, 1e-5)


def save_bert(folder):
    w, s = peer_weights.make("bert"), peer_weights.BERT
    encoder = transformer_spec.TransformerEncoderSpec(
        s["layers"], s["heads"], pre_norm=False, activation=common_spec.Activation.GELU,
        layernorm_embedding=True, num_source_embeddings=2,
        embeddings_merge=common_spec.EmbeddingsMerge.ADD)
    spec = transformer_spec.TransformerEncoderModelSpec(
        encoder, pooling_layer=True, pooling_activation=common_spec.Activation.Tanh)
    encoder.scale_embeddings = False
    encoder.embeddings[0].weight = w["embeddings.word_embeddings.weight"]
    encoder.embeddings[1].weight = w["embeddings.token_type_embeddings.weight"]
    encoder.position_encodings.encodings = w["embeddings.position_embeddings.weight"]
    set_norm(encoder.layernorm_embedding, w, "embeddings.LayerNorm")
    set_linear(spec.pooler_dense, w["pooler.dense.weight"], w["pooler.dense.bias"])
    for i, layer in enumerate(encoder.layer):
        at = f"encoder.layer.{i}"
        split = [common_spec.LinearSpec() for _ in range(3)]
        for part, name in zip(split, ("query", "key", "value")):
            set_linear(part, w[f"{at}.attention.self.{name}.weight"], w[f"{at}.attention.self.{name}.bias"])
        utils.fuse_linear(layer.self_attention.linear[0], split)
        for part, name in ((layer.self_attention.linear[1], "attention.output.dense"),
                           (layer.ffn.linear_0, "intermediate.dense"), (layer.ffn.linear_1, "output.dense")):
            set_linear(part, w[f"{at}.{name}.weight"], w[f"{at}.{name}.bias"])
        set_norm(layer.self_attention.layer_norm, w, f"{at}.attention.output.LayerNorm")
        set_norm(layer.ffn.layer_norm, w, f"{at}.output.LayerNorm")
    finish(spec, s["vocab"], folder, 1e-12)


class Gpt2:
    def __init__(self, threads, folder):
        if not os.path.exists(os.path.join(folder, "model.bin")):
            save_gpt2(folder)
        self.generator = ctranslate2.Generator(folder, device="cpu", compute_type="float32",
                                               inter_threads=1, intra_threads=threads)

    def values(self, tokens):
        logits = self.generator.forward_batch([[f"t{t}" for t in tokens]], return_log_probs=False)
        return numpy.array(logits)[0, -1]

    def generate(self, tokens, steps):
        """When each token came, in seconds from the call on."""
        times = []
        before = time.perf_counter()

        def note(_):
            times.append(time.perf_counter() - before)
            return False

        # No end token is generated before its time: every step is taken.
        self.generator.generate_batch([[f"t{t}" for t in tokens]], max_length=steps, min_length=steps,
                                      sampling_topk=1, include_prompt_in_result=False, callback=note)
        return times

    def prefill(self, tokens):
        return self.generate(tokens, 1)[0]

    def decode(self, tokens, steps):
        return list(numpy.diff(self.generate(tokens, steps + 1)))


class Bert:
    def __init__(self, threads, folder):
        if not os.path.exists(os.path.join(folder, "model.bin")):
            save_bert(folder)
        self.encoder = ctranslate2.Encoder(folder, device="cpu", compute_type="float32",
                                           inter_threads=1, intra_threads=threads)

    def forward(self, rows):
        rows = numpy.ascontiguousarray(rows, numpy.int32)
        lengths = numpy.full(len(rows), rows.shape[1], numpy.int32)
        return self.encoder.forward_batch(ctranslate2.StorageView.from_array(rows),
                                          ctranslate2.StorageView.from_array(lengths))

    def values(self, rows):
        return numpy.array(self.forward(rows).last_hidden_state)

    def encode(self, rows):
        before = time.perf_counter()
        self.forward(rows)
        return time.perf_counter() - before
