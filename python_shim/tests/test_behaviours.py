"""Behaviours of the original that are of a whole model: limits, files, memory. A test's name begins
with its number in docs/compat.md. Needs numpy alone."""
import filecmp
import os
import resource
import shutil
import subprocess
import tempfile
import time
import unittest

import eet
import numpy
from eet import ops
from eet._convert import find_converter

import support

F8 = numpy.float64


def norm64(x, weight, bias, eps=1e-5):
    x = x - x.mean(-1, keepdims=True)
    return x / numpy.sqrt((x * x).mean(-1, keepdims=True) + eps) * weight + bias


def times64(x, weight, rows=1024):
    """x weight^T in float64, without a copy of the whole weight."""
    parts = [x @ weight[i:i + rows].astype(F8).T for i in range(0, len(weight), rows)]
    return numpy.concatenate(parts, -1)


def attend64(q, k, v, heads, first):
    """Queries from position `first` on; (tokens, heads * head_dim) each."""
    q, k, v = (part.reshape(len(part), heads, -1).transpose(1, 0, 2) for part in (q, k, v))
    scores = q @ k.transpose(0, 2, 1) / numpy.sqrt(q.shape[-1])
    keys = numpy.arange(k.shape[1])[None]
    scores[:, keys > first + numpy.arange(q.shape[1])[:, None]] = -numpy.inf
    weights = numpy.exp(scores - scores.max(-1, keepdims=True))
    y = (weights / weights.sum(-1, keepdims=True)) @ v
    return y.transpose(1, 0, 2).reshape(y.shape[1], -1)


def distance(found, expected):
    """Relative L2."""
    found, expected = numpy.asarray(found, F8), numpy.asarray(expected, F8)
    assert found.shape == expected.shape, (found.shape, expected.shape)
    return numpy.linalg.norm(found - expected) / numpy.linalg.norm(expected)


class Wide(unittest.TestCase):
    def layer(self, width, head_dim=128, inner=64, tokens=3):
        """A block of so wide a model against float64. One matrix is query, key, value and output:
        four of them would be 2 GiB."""
        draw = numpy.random.default_rng(width)
        piece = draw.standard_normal((512, width), "f4") * width ** -0.5
        weight = numpy.empty((width, width), "f2")
        for i in range(0, width, 512):
            weight[i:i + 512] = numpy.roll(piece, 31 * i, 1) if i % 1024 else -piece[::-1]
        fc1 = (draw.standard_normal((inner, width), "f4") * width ** -0.5).astype("f2")
        fc2 = (draw.standard_normal((width, inner), "f4") * inner ** -0.5).astype("f2")
        gain, shift = 1 + draw.standard_normal((2, width), "f4") * 0.1
        x = draw.standard_normal((1, tokens, width), "f4")
        heads = width // head_dim

        keys, values = numpy.zeros((2, 1, tokens, heads, head_dim), "f4")
        y = ops.masked_multi_head_attention(
            x, weight, weight, weight, weight, heads, keys, values, norm=(gain, shift),
            pre_norm=True, add_residual=True)
        found = ops.ffn(y, fc1, fc2, activation="gelu_tanh", norm=(gain, shift), pre_norm=True,
                        add_residual=True)[0]

        q = times64(norm64(x[0].astype(F8), gain, shift), weight)
        y = x[0] + times64(attend64(q, q, q, heads, 0), weight)
        z = norm64(y, gain, shift) @ fc1.astype(F8).T
        z = 0.5 * z * (1 + numpy.tanh(numpy.sqrt(2 / numpy.pi) * (z + 0.044715 * z ** 3)))
        self.assertLess(distance(found, y + z @ fc2.astype(F8).T), 1e-5)

    def test_18_a_layer_of_hidden_16384_is_its_formula(self):
        self.layer(16384)

    def test_18_a_layer_of_hidden_12288_is_its_formula(self):
        self.layer(12288)


class Long(unittest.TestCase):
    TOKENS, WIDTH, HEADS, VOCAB = 16384, 32, 2, 61

    @classmethod
    def setUpClass(cls):
        cls.model = eet.load(support.gpt2_model(cls.WIDTH, 1, cls.TOKENS, cls.VOCAB, cls.HEADS),
                             device="cpu")
        cls.addClassCleanup(cls.model.close)
        cls.ids = numpy.random.default_rng(3).integers(0, cls.VOCAB, cls.TOKENS).astype("i4")
        cls.at = numpy.array([0, 63, 64, 511, 512, 4097, 9999, cls.TOKENS - 2, cls.TOKENS - 1])

    def reference(self):
        """Scores at the places `at`, in float64: the only layer's keys come of the tokens alone."""
        w = {name[4:].replace("0000.", ""): self.model.tensors[name].numpy().astype(F8)
             for name in self.model.tensors}
        x = w["emb.tok"][self.ids] + w["emb.pos"]
        qkv = norm64(x, w["attn.norm.w"], w["attn.norm.b"]) @ w["attn.qkv.w"].T + w["attn.qkv.b"]
        q, k, v = numpy.split(qkv, 3, -1)
        y = numpy.concatenate([attend64(q[i:i + 1], k, v, self.HEADS, i) for i in self.at])
        y = x[self.at] + y @ w["attn.out.w"].T + w["attn.out.b"]
        z = norm64(y, w["ffn.norm.w"], w["ffn.norm.b"]) @ w["ffn.fc1.w"].T + w["ffn.fc1.b"]
        z = 0.5 * z * (1 + numpy.tanh(numpy.sqrt(2 / numpy.pi) * (z + 0.044715 * z ** 3)))
        y = y + z @ w["ffn.fc2.w"].T + w["ffn.fc2.b"]
        return norm64(y, w["norm.w"], w["norm.b"]) @ w["emb.tok"].T

    def test_19_a_prompt_of_16384_tokens_gives_its_formula_however_it_is_cut(self):
        wanted = self.reference()
        for at_once in (self.TOKENS, 1000):
            with self.model.session(max_batch_tokens=at_once) as session:
                found = session.step(self.ids, outputs=eet.Output("lm", "given", self.at))
                self.assertLess(distance(found, wanted), 1e-5)

    def test_19_memory_grows_with_the_tokens_and_not_with_their_square(self):
        def bytes_for(tokens):
            need = support.measure(self.model, max_tokens=tokens, max_batch_tokens=tokens)
            return need.cache_bytes + need.workspace_bytes + need.host_bytes

        small, middle, large = (bytes_for(tokens) for tokens in (4096, 8192, 16384))
        self.assertLess(large - middle, 2.05 * (middle - small))

    def test_20_steps_to_a_length_of_16384_give_one_pass(self):
        steps = 6
        with self.model.session(max_batch_tokens=self.TOKENS) as session:
            whole = session.encode(self.ids, outputs=eet.Output(
                "hidden", "given", numpy.arange(self.TOKENS - steps, self.TOKENS)))
            session.step(self.ids[:-steps], outputs=eet.Output("hidden", "given", [0]))
            for i in range(steps):
                found = session.step(self.ids[i - steps:][:1], outputs="hidden")
                self.assertLess(distance(found[0], whole[i]), 1e-5)
            self.assertEqual(session.length(0), self.TOKENS)
            with self.assertRaisesRegex(eet.Error, "16384"):
                session.step(self.ids[:1])
            self.assertEqual(session.length(0), self.TOKENS)


class Files(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(dir=support.FOLDER)
        self.tensors = support.gpt2_tensors(32, 2, 20, 50)

    def convert(self, tensors, name="made", shards=1):
        folder = os.path.join(self.folder, name)
        support.write_gpt2(folder, tensors, 2, shards)
        eet.convert(folder, folder + ".eet")
        return folder + ".eet"

    def test_35_the_same_checkpoint_gives_the_same_bytes(self):
        first = self.convert(self.tensors, "first")
        again = self.convert(dict(reversed(self.tensors.items())), "first2")
        shutil.copytree(first[:-4], os.path.join(self.folder, "copy"))
        eet.convert(os.path.join(self.folder, "copy"), os.path.join(self.folder, "copy.eet"))
        self.assertTrue(filecmp.cmp(first, os.path.join(self.folder, "copy.eet"), False))
        with eet.load(first) as one, eet.load(again) as other:  # the order in the file is no matter
            self.assertEqual(one.digest, other.digest)

    def test_35_keys_that_are_unknown_missing_or_misshaped_are_named(self):
        name = "transformer.h.1.mlp.c_fc.weight"
        unknown = {**self.tensors, "transformer.h.1.mlp.c_gate.weight": self.tensors[name]}
        missing = {key: value for key, value in self.tensors.items() if key != name}
        misshaped = {**self.tensors, name: self.tensors[name][:, :-1]}
        for what, tensors, words in (("unknown", unknown, "c_gate"), ("missing", missing, "c_fc"),
                                     ("misshaped", misshaped, "c_fc")):
            with self.subTest(what), self.assertRaisesRegex(eet.ConversionError, words):
                self.convert(tensors, what)
            self.assertFalse(os.path.exists(os.path.join(self.folder, what + ".eet")))

    def test_35_files_in_parts_are_read_without_holding_them(self):
        tensors = support.gpt2_tensors(512, 12, 64, 1000)
        total = sum(data.nbytes for data in tensors.values())
        largest = max(data.nbytes for data in tensors.values())
        room = (64 << 20) + 2 * largest
        self.assertGreater(total, 2 * room)
        folder = support.write_gpt2(os.path.join(self.folder, "parts"), tensors, 8, shards=3)
        subprocess.run(
            [find_converter(), "-q", folder, "-o", folder + ".eet"], check=True, timeout=120,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (room, room)))
        support.write_gpt2(folder + "1", tensors, 8)
        eet.convert(folder + "1", folder + "1.eet")
        with eet.load(folder + ".eet") as one, eet.load(folder + "1.eet") as other:
            self.assertEqual(one.weights_digest, other.weights_digest)

    def test_36_a_mapped_file_is_opened_without_reading_its_weights(self):
        path = self.convert(support.gpt2_tensors(512, 12, 64, 1000), "large")
        before, began = support.resident("Anonymous"), time.perf_counter()
        model = eet.load(path, device="cpu")
        seconds, grown = time.perf_counter() - began, support.resident("Anonymous") - before
        self.assertGreater(model.weight_bytes, 100 << 20)
        self.assertLess(grown, 4 << 20)
        self.assertLess(seconds, 0.2)
        model.close()

    def test_36_what_was_cut_or_changed_is_refused(self):
        path = self.convert(self.tensors)
        with open(path, "rb") as file:
            whole = file.read()
        at = whole.index(self.tensors["transformer.wpe.weight"].tobytes())

        def changed(place, data):
            return whole[:place] + data + whole[place + len(data):]

        damage = {
            "cut": (whole[:-100], "quick"),
            "no file of ours": (changed(1, b"PNG"), "quick"),
            "another version": (changed(8, b"\2"), "quick"),
            "another byte order": (changed(16, whole[16:20][::-1]), "quick"),
            "a fact": (changed(whole.index(b"dec.layers") + 3, b"X"), "quick"),
            "a weight": (changed(at, b"\1\2"), "full"),
        }
        for what, (data, verify) in damage.items():
            self.assertNotEqual(data, whole)
            with open(path, "wb") as file:
                file.write(data)
            with self.subTest(what), self.assertRaises((eet.FormatError, eet.UnsupportedError)):
                eet.load(path, device="cpu", verify=verify)


class Memory(unittest.TestCase):
    def test_39_activations_do_not_grow_with_the_layers_and_are_told_beforehand(self):
        needs = []
        for layers in (1, 2, 8):
            with eet.load(support.gpt2_model(64, layers, 256, 50, 2), device="cpu") as model:
                needs.append(support.measure(model, max_sequences=4))
                sizes = dict(max_sequences=4, max_tokens=256, max_batch_tokens=512)
                told = support.measure(model, **sizes)
                before = support.resident("Anonymous")
                with model.session(**sizes) as session:
                    session.step([[i % 50 for i in range(256)]] * 4, outputs=("lm", "last"))
                    taken = support.resident("Anonymous") - before
                whole = told.cache_bytes + told.workspace_bytes + told.host_bytes
                self.assertLess(taken, whole + (4 << 20))  # stacks of threads, the arrays here
        self.assertEqual(len({need.workspace_bytes for need in needs}), 1)
        self.assertEqual(needs[2].cache_bytes, 8 * needs[0].cache_bytes)

    def test_40_a_thousand_requests_take_no_more_memory(self):
        with eet.load(support.model("gpt2_tiny"), device="cpu") as model:
            session, generator = model.session(max_sequences=2), eet.Generator(model)
            for request in range(1100):
                if request == 100:
                    before = support.resident()
                session.step([[1 + request % 90, 2, 3], [4, 5, 6]])
                session.trim(0)
                session.trim(1)
                generator.generate([1 + request % 90, 2], max_new_tokens=3)
            self.assertLess(support.resident() - before, 1 << 20)


class Backends(unittest.TestCase):
    def test_44_the_cpu_runs_every_file_with_the_numbers_of_the_library(self):
        program = (
            "import sys, numpy, eet, support\n"
            "for name, key in (('gpt2_tiny', 'lm'), ('bert_tiny', 'hidden'), ('fs012_lm', 'lm'),\n"
            "                  ('roberta_choice', 'hidden')):\n"
            "    gold = support.golden(name)\n"
            "    more = {'types': gold['types']} if 'types' in gold else {}\n"
            "    with eet.load(support.model(name), device=sys.argv[1]) as model:\n"
            "        found = model.session().encode(gold['tokens'], start=gold['start'],\n"
            "                                       outputs=key, **more)\n"
            "    room = 1e-4 * numpy.maximum(1, abs(gold[key]).max(-1, keepdims=True))\n"
            "    assert (abs(numpy.asarray(found) - gold[key]) <= room).all(), name\n"
        )
        for environment in ({}, {"EET_BACKEND": "ref"}):
            done = support.python(program, "cpu", **environment)
            self.assertEqual(done.returncode, 0, done.stderr)
        if "cuda" in eet.backends():
            done = support.python(program, "cuda")
            self.assertEqual(done.returncode, 0, done.stderr)


class Exports(unittest.TestCase):
    def test_48_scores_log_probs_and_hidden_states_come_on_request(self):
        gold = support.golden("gpt2_tiny")
        ids = support.rows(gold)[0]
        with eet.load(support.model("gpt2_tiny"), device="cpu") as model:
            session = model.session()
            scores, hidden = session.encode(ids, outputs=["lm", "hidden"])
            self.assertLess(distance(scores, gold["lm"][:len(ids)]), 1e-5)
            self.assertLess(distance(hidden, gold["hidden"][:len(ids)]), 1e-5)
            exact = gold["lm"][:len(ids)]
            logs = exact - numpy.log(numpy.exp(exact).sum(-1, keepdims=True))
            told = session.score(numpy.array(ids, "i4"), top=2)
            for i in range(len(ids) - 1):
                self.assertAlmostEqual(told.log_prob[i], logs[i, ids[i + 1]], 4)
                self.assertEqual(told.top_tokens[i, 0], logs[i].argmax())

    def test_48_keys_and_values_of_a_sequence_come_on_request(self):
        ids = numpy.random.default_rng(4).integers(0, 101, 50).astype("i4")
        with eet.load(support.model("gpt2_tiny"), device="cpu") as model:
            norm, qkv = (tuple(model.tensors[f"dec.0000.attn.{name}.{kind}"].numpy().astype(F8)
                               for kind in "wb") for name in ("norm", "qkv"))
            x = model.tensors["dec.emb.tok"].numpy()[ids] + model.tensors["dec.emb.pos"].numpy()[:50]
            wanted = numpy.split(norm64(x.astype(F8), *norm) @ qkv[0].T + qkv[1], 3, -1)[1:]
            heads = model.fact("dec.heads")
            for dtype, room in (("f32", 1e-6), ("f16", 1e-3), ("bf16", 1e-2)):
                session = model.session(max_sequences=2, cache_dtype=dtype)
                session.step(ids[:30], sequence=1)
                session.step(ids[30:], sequence=1)
                for found, want in zip(session.export(1, 0), wanted):
                    want = want.reshape(50, heads, -1).transpose(1, 0, 2)
                    self.assertLess(distance(found, want), room)
                whole = model.session(cache_dtype=dtype)
                whole.step(ids)
                for found, want in zip(session.export(1, 1), whole.export(0, 1)):
                    numpy.testing.assert_array_equal(found, want)
            self.assertEqual(session.export(0)[0].shape, (heads, 0, 32 // heads))
            for bad in ((2, 0), (1, 2), (1, -1)):
                with self.assertRaises(eet.ArgumentError):
                    session.export(*bad)

    def test_48_keys_and_values_of_parts_are_the_callers(self):
        from eet.transformers import EETGPT2Attention, EETGPT2Model

        draw = numpy.random.default_rng(2)
        x, (query, key, value, out) = draw.standard_normal((2, 5, 12)), draw.standard_normal(
            (4, 12, 12))
        keys, values = numpy.zeros((2, 2, 8, 3, 4), "f4")
        ops.masked_multi_head_attention(
            *(part.astype("f4") for part in (x, query, key, value, out)), 3, keys, values)
        self.assertLess(distance(keys[:, :5].reshape(2, 5, 12), x @ key.T), 1e-5)
        self.assertLess(distance(values[:, :5].reshape(2, 5, 12), x @ value.T), 1e-5)
        with EETGPT2Model.from_pretrained(support.model("gpt2_tiny")) as model:
            part = EETGPT2Attention(model, 0)
            x = draw.standard_normal((1, 4, 32)).astype("f4")
            part(x)
            held = part.cache.keys[:, :4].reshape(4, 32)
            norm, qkv = (tuple(model.model.tensors[f"dec.0000.attn.{name}.{kind}"].numpy()
                               for kind in "wb") for name in ("norm", "qkv"))
            wanted = norm64(x[0].astype(F8), *norm) @ qkv[0][32:64].T + qkv[1][32:64]
            self.assertLess(distance(held, wanted), 1e-5)


if __name__ == "__main__":
    unittest.main()
