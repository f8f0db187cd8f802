"""peer_ort.py - the two models for onnxruntime, as its own optimizer for transformers leaves them:
fused attention with past and present, norms fused with their residuals, activations with their
biases. Inputs and outputs are bound, the cache stays in place."""
import time

import numpy
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

import peer_weights

MICROSOFT = "com.microsoft"
ROOM = 1024  # positions of the cache


class Graph:
    def __init__(self):
        self.nodes, self.initializers, self.count = [], [], 0

    def constant(self, values, name=None):
        self.count += 1
        name = name or f"c{self.count}"
        self.initializers.append(numpy_helper.from_array(numpy.ascontiguousarray(values), name))
        return name

    def node(self, op, inputs, outputs=1, domain="", **attributes):
        self.count += 1
        names = outputs if isinstance(outputs, list) else [f"t{self.count}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(op, inputs, names, domain=domain, **attributes))
        return names[0] if len(names) == 1 else names

    def model(self, inputs, outputs):
        graph = helper.make_graph(self.nodes, "g", inputs, outputs, self.initializers)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17),
                                                        helper.make_opsetid(MICROSOFT, 1)])
        model.ir_version = 8
        return model


def value(name, dtype, shape):
    return helper.make_tensor_value_info(name, dtype, shape)


def gpt2_graph(grouped):
    """Logits of the last position. `grouped`: GroupQueryAttention, whose cache is one buffer that is
    written in place (onnxruntime-genai's way); else Attention, which returns a longer copy."""
    w, s = peer_weights.make("gpt2"), peer_weights.GPT2
    g, h, heads = Graph(), s["hidden"], s["heads"]
    wte = g.constant(w["wte.weight"])
    x = g.node("Add", [g.node("Gather", [wte, "ids"]),
                       g.node("Gather", [g.constant(w["wpe.weight"]), "positions"])])
    n = g.node("LayerNormalization", [x, g.constant(w["h.0.ln_1.weight"]), g.constant(w["h.0.ln_1.bias"])],
               epsilon=1e-5, axis=-1)
    inputs = [value("ids", TensorProto.INT64, ["B", "S"]), value("positions", TensorProto.INT64, ["B", "S"])]
    outputs = [value("logits", TensorProto.FLOAT, ["B", 1, s["vocab"]])]
    if grouped:
        inputs += [value("seqlens", TensorProto.INT32, ["B"]), value("total", TensorProto.INT32, [1])]
    for i in range(s["layers"]):
        def part(name, layer=i):
            return g.constant(w[f"h.{layer}.{name}"])

        if grouped:
            shape = ["B", heads, "M", h // heads]
            qkv = g.node("Add", [g.node("MatMul", [n, part("attn.c_attn.weight")]), part("attn.c_attn.bias")])
            a = g.node("GroupQueryAttention", [qkv, "", "", f"past_k{i}", f"past_v{i}", "seqlens", "total"],
                       [f"a{i}", f"now_k{i}", f"now_v{i}"], MICROSOFT, num_heads=heads, kv_num_heads=heads)[0]
            kinds = ["k", "v"]
        else:
            shape = [2, "B", heads, "P", h // heads]
            a = g.node("Attention", [n, part("attn.c_attn.weight"), part("attn.c_attn.bias"), "", f"past_{i}"],
                       [f"a{i}", f"now_{i}"], MICROSOFT, num_heads=heads, unidirectional=1)[0]
            kinds = [""]
        for kind in kinds:
            inputs.append(value(f"past_{kind}{i}", TensorProto.FLOAT, shape))
            outputs.append(value(f"now_{kind}{i}", TensorProto.FLOAT,
                                 [d if d != "P" else "P+S" for d in shape]))
        p = g.node("MatMul", [a, part("attn.c_proj.weight")])
        n, _, _, x = g.node("SkipLayerNormalization",
                            [p, x, part("ln_2.weight"), part("ln_2.bias"), part("attn.c_proj.bias")], 4,
                            MICROSOFT, epsilon=1e-5)
        f = g.node("FastGelu", [g.node("MatMul", [n, part("mlp.c_fc.weight")]), part("mlp.c_fc.bias")],
                   domain=MICROSOFT)
        p = g.node("MatMul", [f, part("mlp.c_proj.weight")])
        after = f"h.{i + 1}.ln_1" if i + 1 < s["layers"] else "ln_f"
        n, _, _, x = g.node("SkipLayerNormalization",
                            [p, x, g.constant(w[f"{after}.weight"]), g.constant(w[f"{after}.bias"]),
                             part("mlp.c_proj.bias")], 4, MICROSOFT, epsilon=1e-5)
    last = g.node("Gather", [n, g.constant(numpy.array([-1]))], axis=1)
    g.node("MatMul", [last, g.constant(w["wte.weight"].T)], ["logits"])
    return g.model(inputs, outputs)


def bert_graph():
    """The hidden states of every token; no padding, so no mask."""
    w, s = peer_weights.make("bert"), peer_weights.BERT
    g, heads = Graph(), s["heads"]

    def norm(name):
        return [g.constant(w[f"{name}.weight"]), g.constant(w[f"{name}.bias"])]

    n = g.node("EmbedLayerNormalization",
               ["ids", "types"] + [g.constant(w[f"embeddings.{t}_embeddings.weight"])
                                   for t in ("word", "position", "token_type")] + norm("embeddings.LayerNorm"),
               2, MICROSOFT, epsilon=1e-12)[0]
    for i in range(s["layers"]):
        layer = f"encoder.layer.{i}"

        def matrix(name, at=layer):
            return g.constant(w[f"{at}.{name}.weight"].T)

        def bias(name, at=layer):
            return g.constant(w[f"{at}.{name}.bias"])

        parts = [f"attention.self.{part}" for part in ("query", "key", "value")]
        qkv = g.constant(numpy.concatenate([w[f"{layer}.{p}.weight"].T for p in parts], 1))
        b = g.constant(numpy.concatenate([w[f"{layer}.{p}.bias"] for p in parts]))
        a = g.node("Attention", [n, qkv, b], domain=MICROSOFT, num_heads=heads)
        p = g.node("MatMul", [a, matrix("attention.output.dense")])
        n = g.node("SkipLayerNormalization", [p, n] + norm(f"{layer}.attention.output.LayerNorm")
                   + [bias("attention.output.dense")], domain=MICROSOFT, epsilon=1e-12)
        f = g.node("BiasGelu", [g.node("MatMul", [n, matrix("intermediate.dense")]), bias("intermediate.dense")],
                   domain=MICROSOFT)
        p = g.node("MatMul", [f, matrix("output.dense")])
        last = i + 1 == s["layers"]
        n = g.node("SkipLayerNormalization", [p, n] + norm(f"{layer}.output.LayerNorm") + [bias("output.dense")],
                   ["hidden"] if last else 1, MICROSOFT, epsilon=1e-12)
    return g.model([value("ids", TensorProto.INT32, ["B", "S"]), value("types", TensorProto.INT32, ["B", "S"])],
                   [value("hidden", TensorProto.FLOAT, ["B", "S", s["hidden"]])])


def session(model, threads):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])


def ort_value(array):
    return onnxruntime.OrtValue.ortvalue_from_numpy(numpy.ascontiguousarray(array))


class Gpt2:
    def __init__(self, threads, grouped=True):
        self.grouped = grouped
        self.session = session(gpt2_graph(grouped), threads)
        s = peer_weights.GPT2
        self.layers, self.shape = s["layers"], (1, s["heads"], ROOM, s["hidden"] // s["heads"])
        self.logits = ort_value(numpy.zeros((1, 1, s["vocab"]), numpy.float32))
        self.reset()

    def reset(self):
        self.length = 0
        if self.grouped:
            self.cache = {f"{kind}{i}": ort_value(numpy.zeros(self.shape, numpy.float32))
                          for i in range(self.layers) for kind in "kv"}
        else:
            empty = numpy.zeros((2, 1, self.shape[1], 0, self.shape[3]), numpy.float32)
            self.cache = {f"{i}": ort_value(empty) for i in range(self.layers)}

    def step(self, tokens):
        """Seconds of a call; the logits of the last token lie in self.logits."""
        count = len(tokens)
        before = time.perf_counter()
        binding = self.session.io_binding()
        binding.bind_ortvalue_input("ids", ort_value(numpy.array([tokens], numpy.int64)))
        binding.bind_ortvalue_input("positions", ort_value(
            numpy.arange(self.length, self.length + count, dtype=numpy.int64)[None]))
        binding.bind_ortvalue_output("logits", self.logits)
        if self.grouped:
            total = self.length + count
            binding.bind_ortvalue_input("seqlens", ort_value(numpy.array([total - 1], numpy.int32)))
            binding.bind_ortvalue_input("total", ort_value(numpy.array([total], numpy.int32)))
        for name, past in self.cache.items():
            binding.bind_ortvalue_input(f"past_{name}", past)
            if self.grouped:
                binding.bind_ortvalue_output(f"now_{name}", past)
            else:
                binding.bind_output(f"now_{name}", "cpu")
        self.session.run_with_iobinding(binding)
        if not self.grouped:
            self.cache = dict(zip(self.cache, binding.get_outputs()[1:]))
        self.length += count
        return time.perf_counter() - before

    def values(self, tokens):
        self.reset()
        self.step(tokens[:-1])
        self.step(tokens[-1:])
        return self.logits.numpy()[0, 0].copy()

    def prefill(self, tokens):
        self.reset()
        return self.step(tokens)

    def decode(self, tokens, steps):
        self.reset()
        self.step(tokens)
        return [self.step([int(self.logits.numpy()[0, 0].argmax())]) for _ in range(steps)]


class Bert:
    def __init__(self, threads):
        self.session = session(bert_graph(), threads)

    def values(self, rows):
        rows = numpy.asarray(rows, numpy.int32)
        return self.session.run(None, {"ids": rows, "types": numpy.zeros_like(rows)})[0]

    def encode(self, rows):
        rows = numpy.asarray(rows, numpy.int32)
        binding = self.session.io_binding()
        binding.bind_ortvalue_input("ids", ort_value(rows))
        binding.bind_ortvalue_input("types", ort_value(numpy.zeros_like(rows)))
        binding.bind_ortvalue_output("hidden", ort_value(numpy.zeros((*rows.shape, peer_weights.BERT["hidden"]),
                                                                     numpy.float32)))
        before = time.perf_counter()
        self.session.run_with_iobinding(binding)
        return time.perf_counter() - before
