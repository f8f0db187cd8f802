"""The operators that take row for row, against torch in float64: feed-forward, embedding, layer
norm; their contexts and their page. A test's name begins with its number in docs/compat.md."""
import doctest
import math
import os
import re
import threading
import unittest

import eet
import numpy
import torch
from eet import ops

import support
from ops_support import (Case, DTYPES, HEADS, ROWS, SWITCHES, TOKENS, WIDTH, block, draw, layer,
                         linear64, norm64, norm_of, switch64)


class Ffn(Case):
    def test_12_activations_and_any_inner_width(self):
        functions = {
            "relu": torch.relu, "gelu": torch.nn.functional.gelu, "silu": torch.nn.functional.silu,
            "gelu_new": lambda x: 0.5 * x * (1 + torch.tanh(
                math.sqrt(2 / math.pi) * (x + 0.044715 * x ** 3))),
            "quick_gelu": lambda x: x * torch.sigmoid(1.702 * x), "tanh": torch.tanh,
            "linear": lambda x: x, "relu2": lambda x: torch.relu(x) ** 2}
        for name, function in functions.items():
            for (pre, add), inner in zip(SWITCHES, (1, 17, 120, 333)):
                for dtype in DTYPES:
                    x, norm = draw(ROWS, TOKENS, WIDTH, dtype=dtype), norm_of(WIDTH, dtype)
                    fc1, fc2 = layer(inner, WIDTH, dtype), layer(WIDTH, inner, dtype)
                    got = ops.ffn(x, fc1, fc2, activation=name, norm=norm, pre_norm=pre,
                                  add_residual=add)
                    want = switch64(x, lambda h: function(linear64(h, fc1)), fc2, norm, pre, add)
                    self.near(got, want, dtype)

    def test_12_an_unknown_activation_is_an_error(self):
        with self.assertRaisesRegex(eet.ArgumentError, "no activation 'gelo'"):
            ops.ffn(draw(2, WIDTH), layer(8, WIDTH), layer(WIDTH, 8), activation="gelo")

    def test_16_bias_residual_and_norm_together_up_to_16384(self):
        for width in (1, 33, 1024, 4100, 16384):
            x, norm = draw(5, width), norm_of(width)
            fc1, fc2 = layer(8, width), layer(width, 8)
            for pre in (False, True):
                got = ops.ffn(x, fc1, fc2, activation="relu", norm=norm, pre_norm=pre,
                              add_residual=True)
                want = switch64(x, lambda h: torch.relu(linear64(h, fc1)), fc2, norm, pre, True)
                self.near(got, want)

    def test_17_mixtures_of_data_types_and_strides(self):
        x = draw(WIDTH, 12, dtype=torch.bfloat16).t()
        fc1 = ops.Linear(draw(40, 2 * WIDTH, dtype=torch.float16)[:, :WIDTH], None)
        fc2 = layer(WIDTH, 40)
        out = torch.zeros(12, 2 * WIDTH, dtype=torch.float16)[:, ::2]
        got = ops.ffn(x, fc1, fc2, activation="silu", add_residual=True, out=out)
        self.assertIs(got, out)
        want = linear64(torch.nn.functional.silu(linear64(x.double(), fc1)), fc2) + x.double()
        self.near(got, want, torch.float16)
        self.assertTrue((out._base[:, 1::2] == 0).all())


class Embedding(Case):
    def test_13_transformers_with_indexes_for_all_rows_and_norm(self):
        for dtype in DTYPES:
            word, place, kind = (draw(n, WIDTH, dtype=dtype) for n in (50, 20, 2))
            norm = norm_of(WIDTH, dtype)
            ids = torch.randint(50, (ROWS, TOKENS))
            types = torch.randint(2, (ROWS, TOKENS), dtype=torch.int32)
            for positions in (torch.randint(20, (1, TOKENS)), torch.randint(20, (ROWS, TOKENS))):
                for use in (None, norm):
                    got = ops.embedding(ids, word, position=place, positions=positions, type=kind,
                                        types=types, norm=use)
                    want = (word.double()[ids] + place.double()[positions]
                            + kind.double()[types.long()])
                    self.near(got, norm64(want, norm) if use else want, dtype)

    def test_14_fairseq_with_scale_sinusoids_pads_and_steps(self):
        pad, room = 1, 40
        frequency = torch.exp(torch.arange(WIDTH // 2) * -(math.log(10000) / (WIDTH // 2 - 1)))
        angle = torch.arange(room)[:, None] * frequency[None]
        table = torch.cat([angle.sin(), angle.cos()], 1)
        table[pad] = 0
        word = draw(50, WIDTH)
        ids = torch.randint(2, 50, (ROWS, TOKENS))
        ids[0, :3] = pad
        ids[1, 5:] = pad
        kept = ids != pad
        positions = (kept.cumsum(1) * kept + pad)
        for scale in (1.0, math.sqrt(WIDTH)):
            want = word.double()[ids] * scale + table.double()[positions]
            got = ops.embedding(ids, word, position=table, scale=scale, pad=pad, offset=pad + 1)
            self.near(got, want)
            lengths = kept[:, :4].sum(1)
            step = ops.embedding(ids[:, 4:], word, position=table, scale=scale, pad=pad,
                                 offset=pad + 1, lengths=lengths)
            self.assertTrue(torch.equal(step, got[:, 4:]))

    def test_22_more_than_65536_tokens(self):
        word, norm = draw(50, 8), norm_of(8)
        ids = torch.randint(50, (2, 40000))
        got = ops.embedding(ids, word, norm=norm)
        self.near(got, norm64(word.double()[ids], norm))

    def test_23_an_id_out_of_range_is_named(self):
        out = torch.full((1, 3, 8), 5.0)
        for bad in (50, -1, 2 ** 40):
            with self.assertRaisesRegex(eet.ArgumentError, f"ids of token 1 is {bad}; the table"):
                ops.embedding(torch.tensor([[1, bad, 2]]), draw(50, 8), out=out)
        self.assertTrue((out == 5).all())


class Layernorm(Case):
    def test_15_widths_from_1_to_16384_and_eps(self):
        for width in (1, 2, 31, 33, 768, 1023, 5000, 16384):
            for dtype in DTYPES:
                for eps in (1e-12, 1e-5, 1e-1):
                    x, norm = draw(4, width, dtype=dtype) + 3, norm_of(width, dtype)
                    got = ops.layernorm(x, norm.weight, norm.bias, eps=eps)
                    want = norm64(x.double(), (norm.weight, norm.bias, eps))
                    self.near(got, want, dtype)
                    self.assertTrue(torch.equal(
                        ops.layernorm(x, norm.weight, norm.bias, eps=eps, out=x.clone()), got))

    def test_numpy_lists_and_interfaces_go_in_and_come_out(self):
        x = numpy.random.default_rng(1).standard_normal((4, 9)).astype("f4")
        weight = numpy.ones(9, "f2")
        got = ops.layernorm(x[:, ::-1], weight)
        self.assertIsInstance(got, numpy.ndarray)
        want = (x - x.mean(1, keepdims=True)) / numpy.sqrt(x.var(1, keepdims=True) + 1e-5)
        self.assertLess(abs(got - want[:, ::-1]).max(), 1e-5)
        fixed = numpy.zeros((4, 9), "f4")
        fixed.flags.writeable = False
        with self.assertRaisesRegex(eet.ArgumentError, "out is read-only"):
            ops.layernorm(x, weight, out=fixed)

    def test_23_what_is_wrong_is_said(self):
        x, weight = draw(4, 9), draw(9)
        wrong = [
            ("norm.weight is \\(9\\); it has to be \\(8\\)", lambda: ops.layernorm(x[:, :8],
                                                                                   weight)),
            ("x is i64; it has to be f32", lambda: ops.layernorm(torch.ones(3, 9).long(), weight)),
            ("x is f64; it has to be f32", lambda: ops.layernorm(x.double(), weight)),
            ("NoneType is no array", lambda: ops.layernorm(None, weight)),
            ("y is \\(4, 8\\)", lambda: ops.layernorm(x, weight, out=draw(4, 8))),
            ("norm.eps is -1", lambda: ops.layernorm(x, weight, eps=-1.0)),
            ("x is one number", lambda: ops.layernorm(torch.ones(1, 1).expand(4, 9), weight)),
            ("7 axes", lambda: ops.layernorm(torch.ones(1, 1, 1, 1, 1, 1, 9), weight)),
            ("lengths has 2 numbers; 4 are needed", lambda: ops.embedding(
                torch.zeros(4, 2).long(), x, lengths=[1, 2])),
            ("length\\[0\\] is -1", lambda: ops.embedding(torch.zeros(1, 2).long(), x,
                                                         lengths=[-1])),
            ("the rows of fc1.weight are not contiguous", lambda: ops.ffn(
                x, draw(9, 20).t(), draw(9, 20))),
            ("there is no device 'tpu'", lambda: ops.Context("tpu")),
        ]
        for sentence, call in wrong:
            with self.assertRaisesRegex(eet.ArgumentError, sentence):
                call()
        if "cuda" not in eet.backends():
            with self.assertRaisesRegex(eet.DeviceError, "CUDA"):
                ops.Context("cuda")


class Page(unittest.TestCase):
    def test_docs_ops_prints_what_it_shows(self):
        path = os.path.join(support.ROOT, "docs", "ops.md")
        with open(path, encoding="utf-8") as file:
            text = re.sub(r"^```.*$", "", file.read(), flags=re.M)
        test = doctest.DocTestParser().get_doctest(text, {}, "docs/ops.md", path, 0)
        self.assertGreater(len(test.examples), 12)
        said = []
        failed, _ = doctest.DocTestRunner().run(test, out=said.append)
        self.assertEqual(failed, 0, "".join(said))


class Contexts(Case):
    def test_threads_share_a_context_and_give_the_same(self):
        x, layers, _ = block(20)
        want = ops.multi_head_attention(x, *layers, HEADS)
        found = []

        def work():
            for _ in range(20):
                found.append(torch.equal(want, ops.multi_head_attention(x, *layers, HEADS,
                                                                        context=self.context)))
                found.append(torch.equal(want, ops.multi_head_attention(x, *layers, HEADS)))

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(found, [True] * 320)

    def test_the_child_of_a_fork_has_a_context_of_its_own(self):
        x, weight = draw(4, 9), draw(9)
        want = ops.layernorm(x, weight)
        child = os.fork()
        if child == 0:
            try:
                ops.layernorm(x, weight, context=self.context)
                os._exit(3)
            except eet.StateError:
                os._exit(0 if torch.equal(want, ops.layernorm(x, weight)) else 4)
        self.assertEqual(os.waitpid(child, 0)[1], 0)

    def test_a_closed_context_says_so(self):
        self.context.close()
        self.context.close()
        with self.assertRaisesRegex(eet.ArgumentError, "closed"):
            ops.layernorm(draw(4, 9), draw(9), context=self.context)


if __name__ == "__main__":
    unittest.main()
