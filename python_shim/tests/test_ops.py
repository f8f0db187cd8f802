"""The operators against torch in float64, on the numbers that f32, f16 and bf16 leave of the
operands: every switch, mask, layout, head size. The numbers in names are those of the project's
list of behaviours."""
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

DTYPES = {torch.float32: 1e-5, torch.float16: 1e-3, torch.bfloat16: 8e-3}  # relative L2
SWITCHES = [(pre, add) for pre in (False, True) for add in (False, True)]
WIDTH, HEADS, ROWS, TOKENS = 30, 3, 3, 7


def draw(*shape, dtype=torch.float32, scale=1.0):
    return (torch.randn(*shape) * scale).to(dtype)


def layer(out, width, dtype=torch.float32):
    return ops.Linear(draw(out, width, dtype=dtype, scale=width ** -0.5), draw(out, dtype=dtype))


def norm_of(width, dtype=torch.float32):
    return ops.Norm(1 + draw(width, dtype=dtype, scale=0.1), draw(width, dtype=dtype), 1e-5)


def linear64(x, weights):
    return torch.nn.functional.linear(x, weights[0].double(),
                                      None if weights[1] is None else weights[1].double())


def norm64(x, norm):
    return torch.nn.functional.layer_norm(x, x.shape[-1:], norm[0].double(), norm[1].double(),
                                          norm[2])


def switch64(x, inner, last, norm, pre, add):
    """The table of the two switches; `inner` takes x or its norm."""
    x = x.double()
    y = linear64(inner(norm64(x, norm) if pre else x), last)
    if add:
        y = y + x
    return norm64(y, norm) if add and not pre else y


def split(x):
    return x.reshape(*x.shape[:-1], HEADS, -1).transpose(-3, -2)


def attend64(q, k, v, seen, bias=None, scale=None):
    """q, k, v (..., heads, tokens, head_dim); `seen` of booleans."""
    scores = q @ k.transpose(-1, -2) * (scale or q.shape[-1] ** -0.5)
    if bias is not None:
        scores = scores + bias.double()
    scores = scores.masked_fill(~seen, -math.inf)
    weights = torch.nan_to_num(torch.softmax(scores, -1))  # a row of -inf sees nothing
    y = (weights @ v).transpose(-3, -2)
    return y.reshape(*y.shape[:-2], -1)


def triangle(queries, keys):
    return torch.ones(queries, keys, dtype=torch.bool).tril(keys - queries)


class Case(unittest.TestCase):
    def setUp(self):
        torch.manual_seed(7)
        self.context = ops.Context(threads=2)

    def tearDown(self):
        self.context.close()

    def near(self, got, want, dtype=torch.float32, factor=1.0):
        got = torch.as_tensor(got)
        self.assertEqual(tuple(got.shape), tuple(want.shape))
        self.assertEqual(got.dtype, dtype)
        self.assertTrue(torch.isfinite(got.float()).all())
        error = (got.double() - want).norm() / want.norm().clamp_min(1e-30)
        self.assertLessEqual(float(error), DTYPES[dtype] * factor)


def block(head_dim, dtype=torch.float32):
    """x and the layers of an attention."""
    inner = HEADS * head_dim
    layers = [layer(inner, WIDTH, dtype) for _ in range(3)] + [layer(WIDTH, inner, dtype)]
    return draw(ROWS, TOKENS, WIDTH, dtype=dtype), layers, norm_of(WIDTH, dtype)


def caches(head_dim, dtype=torch.float32, slots=ROWS, capacity=16, heads_first=False):
    def one():
        if heads_first:
            return draw(slots, HEADS, capacity, head_dim, dtype=dtype).transpose(1, 2)
        return draw(slots, capacity, HEADS, head_dim, dtype=dtype)
    return one(), one()


def plain64(x, layers, norm, pre, add, seen, bias=None, scale=None):
    q, k, v, out = layers
    return switch64(x, lambda h: attend64(split(linear64(h, q)), split(linear64(h, k)),
                                          split(linear64(h, v)), seen, bias, scale),
                    out, norm, pre, add)


class MaskedAttention(Case):
    def test_01_first_pass_equals_the_reference_for_all_four_switches(self):
        for pre, add in SWITCHES:
            for dtype in DTYPES:
                x, layers, norm = block(20, dtype)
                got = ops.masked_multi_head_attention(
                    x, *layers, HEADS, *caches(20), norm=norm, pre_norm=pre, add_residual=add,
                    context=self.context)
                self.near(got, plain64(x, layers, norm, pre, add, triangle(TOKENS, TOKENS)), dtype)

    def test_02_steps_after_a_pass_equal_one_pass(self):
        x, layers, _ = block(26)
        whole = ops.masked_multi_head_attention(x, *layers, HEADS, *caches(26))
        keys, values = caches(26, heads_first=True)
        done = 0
        for count in (3, 1, 1, 2):
            got = ops.masked_multi_head_attention(
                x[:, done:done + count], *layers, HEADS, keys, values, lengths=[done] * ROWS)
            self.assertTrue(torch.equal(got, whole[:, done:done + count]))
            done += count

    def test_03_left_padding_changes_nothing_in_a_pass_and_every_step(self):
        x, layers, _ = block(20)
        pads = [0, TOKENS - 1, 3]
        keys, values = caches(20)
        kept = torch.arange(16) >= torch.tensor(pads)[:, None]
        mask = kept[:, None, None, :]
        first = ops.masked_multi_head_attention(x, *layers, HEADS, keys, values, mask=mask)
        more = draw(ROWS, 1, WIDTH)
        step = ops.masked_multi_head_attention(more, *layers, HEADS, keys, values, mask=mask,
                                               lengths=[TOKENS] * ROWS)
        for row, pad in enumerate(pads):
            alone = ops.masked_multi_head_attention(
                torch.cat([x[row:row + 1, pad:], more[row:row + 1]], 1), *layers, HEADS,
                *caches(20, slots=1))
            both = torch.cat([first[row:row + 1, pad:], step[row:row + 1]], 1)
            self.assertLess(float((both - alone).abs().max()), 1e-5)

    def test_04_a_row_of_pads_alone_is_finite(self):
        x, layers, _ = block(20)
        mask = torch.ones(ROWS, 1, 1, TOKENS, dtype=torch.bool)
        mask[1] = False
        got = ops.masked_multi_head_attention(x, *layers, HEADS, *caches(20), mask=mask)
        self.assertTrue(torch.isfinite(got).all())
        self.assertTrue(torch.equal(got[1], layers[3].bias.expand(TOKENS, -1)))

    def test_05_a_second_request_knows_nothing_of_the_first(self):
        x, layers, _ = block(20)
        keys, values = caches(20)
        first = ops.masked_multi_head_attention(x, *layers, HEADS, keys, values,
                                                context=self.context)
        ops.masked_multi_head_attention(draw(ROWS, 9, WIDTH), *layers, HEADS, keys, values,
                                        context=self.context)
        again = ops.masked_multi_head_attention(x, *layers, HEADS, keys, values,
                                                context=self.context)
        self.assertTrue(torch.equal(first, again))

    def test_06_fewer_rows_work_and_more_are_refused_untouched(self):
        x, layers, _ = block(20)
        keys, values = caches(20, slots=ROWS)
        before = keys.clone()
        with self.assertRaisesRegex(eet.ArgumentError, "there are 6 rows"):
            ops.masked_multi_head_attention(torch.cat([x, x]), *layers, HEADS, keys, values)
        self.assertTrue(torch.equal(keys, before))
        fewer = ops.masked_multi_head_attention(x[:1], *layers, HEADS, keys, values)
        self.assertTrue(torch.equal(keys[1:], before[1:]))
        self.near(fewer, plain64(x, layers, None, False, False, triangle(TOKENS, TOKENS))[:1])

    def test_07_rows_may_be_permuted_and_dropped_between_steps(self):
        x, layers, _ = block(20)
        keys, values = caches(20)
        ops.masked_multi_head_attention(x, *layers, HEADS, keys, values)
        step = draw(ROWS, 1, WIDTH)
        want = ops.masked_multi_head_attention(step, *layers, HEADS, keys.clone(), values.clone(),
                                               lengths=[TOKENS] * ROWS)
        for order in ([2, 0, 1], [2, 1], [0]):
            got = ops.masked_multi_head_attention(
                step[order], *layers, HEADS, keys.clone(), values.clone(), slots=order,
                lengths=[TOKENS] * len(order))
            self.assertTrue(torch.equal(got, want[order]))

    def test_08_two_beams_of_one_parent_diverge(self):
        x, layers, _ = block(20)
        keys, values = caches(20)
        ops.masked_multi_head_attention(x[:1], *layers, HEADS, keys, values)
        for cache in (keys, values):
            cache[1] = cache[0]
        steps = draw(2, 2, WIDTH)
        for i in range(2):
            got = ops.masked_multi_head_attention(steps[:, i:i + 1], *layers, HEADS, keys, values,
                                                  lengths=[TOKENS + i] * 2)
        text = torch.cat([x[:1].expand(2, -1, -1), steps], 1)
        want = plain64(text, layers, None, False, False, triangle(TOKENS + 2, TOKENS + 2))
        self.near(got, want[:, -1:])

    def test_21_head_sizes(self):
        for head_dim in (1, 26, 32, 64, 72, 80, 96, 128, 256):
            x, layers, norm = block(head_dim)
            got = ops.masked_multi_head_attention(x, *layers, HEADS, *caches(head_dim), norm=norm,
                                                  add_residual=True)
            self.near(got, plain64(x, layers, norm, False, True, triangle(TOKENS, TOKENS)))

    def test_17_caches_of_every_data_type_and_layout(self):
        for dtype in DTYPES:
            for heads_first in (False, True):
                x, layers, _ = block(26)
                keys, values = caches(26, dtype, heads_first=heads_first)
                got = ops.masked_multi_head_attention(x, *layers, HEADS, keys, values)
                want = plain64(x, layers, None, False, False, triangle(TOKENS, TOKENS))
                self.near(got, want, factor=DTYPES[dtype] / 1e-5)
                held = keys[:, :TOKENS].reshape(ROWS, TOKENS, -1)
                self.near(held.contiguous(), linear64(x.double(), layers[1]), dtype)

    def test_ragged_rows_are_those_that_stand_alone(self):
        _, layers, _ = block(20)
        start = [0, 4, 5, 11]
        lengths = [2, 0, 5]
        x = draw(11, WIDTH)
        keys, values = caches(20)
        held = keys.clone(), values.clone()
        got = ops.masked_multi_head_attention(x, *layers, HEADS, keys, values, start=start,
                                              lengths=lengths)
        for row in range(ROWS):
            one = ops.masked_multi_head_attention(
                x[None, start[row]:start[row + 1]], *layers, HEADS, *held, slots=[row],
                lengths=lengths[row:row + 1])
            self.assertTrue(torch.equal(one[0], got[start[row]:start[row + 1]]))


class CrossAttention(Case):
    def test_09_a_pass_and_steps_with_lengths_of_each_row_and_new_memory(self):
        for dtype in DTYPES:
            x, layers, norm = block(26, dtype)
            layers[1:3] = [layer(HEADS * 26, 19, dtype), layer(HEADS * 26, 19, dtype)]
            lengths = [5, 0, 9]
            seen = (torch.arange(9) < torch.tensor(lengths)[:, None])[:, None, None]
            keys, values = caches(26)
            for _ in range(2):  # what the first request left has no part in the second
                memory = draw(ROWS, 9, 19, dtype=dtype)

                def inner(h, memory=memory):
                    k, v = (split(linear64(memory.double(), w)) for w in layers[1:3])
                    return attend64(split(linear64(h, layers[0])), k, v, seen)

                got = ops.cross_multi_head_attention(
                    x, *layers, HEADS, keys, values, memory=memory, lengths=lengths, norm=norm,
                    pre_norm=True, add_residual=True)
                self.near(got, switch64(x, inner, layers[3], norm, True, True), dtype)
                step = ops.cross_multi_head_attention(
                    x[:, 2:3], layers[0], None, None, layers[3], HEADS, keys, values,
                    lengths=lengths, norm=norm, pre_norm=True, add_residual=True)
                self.assertTrue(torch.equal(step, got[:, 2:3]))

    def test_rows_share_a_source(self):
        x, layers, _ = block(20)
        memory = draw(1, 9, WIDTH)
        keys, values = caches(20, capacity=9, slots=1)
        ops.cross_multi_head_attention(x[:1], *layers, HEADS, keys, values, memory=memory)
        got = ops.cross_multi_head_attention(x, layers[0], None, None, layers[3], HEADS, keys,
                                             values, slots=[0, 0, 0])
        every = memory.expand(ROWS, -1, -1).double()
        want = switch64(x, lambda h: attend64(
            split(linear64(h, layers[0])), split(linear64(every, layers[1])),
            split(linear64(every, layers[2])), torch.tensor(True)), layers[3], None, False, False)
        self.near(got, want)


class Attention(Case):
    def test_10_arbitrary_masks_equal_the_reference_and_none_equals_all_ones(self):
        for dtype in DTYPES:
            x, layers, norm = block(26, dtype)
            for shape in ((ROWS, HEADS, TOKENS, TOKENS), (ROWS, 1, 1, TOKENS), (TOKENS, TOKENS),
                          (1, HEADS, 1, TOKENS), (ROWS, 1, TOKENS, 1), (TOKENS,)):
                mask = torch.rand(*shape) < 0.6
                got = ops.multi_head_attention(x, *layers, HEADS, norm=norm, add_residual=True,
                                               mask=mask)
                self.near(got, plain64(x, layers, norm, False, True, mask), dtype)
            none = ops.multi_head_attention(x, *layers, HEADS)
            ones = torch.ones(ROWS, 1, 1, TOKENS, dtype=torch.uint8)
            self.assertTrue(torch.equal(
                none, ops.multi_head_attention(x, *layers, HEADS, mask=ones)))
            self.assertTrue(torch.equal(
                none, ops.multi_head_attention(x, *layers, HEADS, lengths=[TOKENS] * ROWS)))

    def test_10_lengths_are_the_mask_of_their_keys(self):
        x, layers, _ = block(26)
        lengths = [7, 0, 4]
        mask = (torch.arange(TOKENS) < torch.tensor(lengths)[:, None])[:, None, None]
        for causal in (False, True):
            seen = mask & triangle(TOKENS, TOKENS) if causal else mask
            got = ops.multi_head_attention(x, *layers, HEADS, lengths=lengths, causal=causal)
            self.near(got, plain64(x, layers, None, False, False, seen))

    def test_11_causal_order_and_additive_bias_of_any_strides(self):
        slopes = torch.tensor([2.0 ** -i for i in range(HEADS)])
        distance = torch.arange(TOKENS)[None, :] - torch.arange(TOKENS)[:, None]
        alibi = slopes[:, None, None] * distance
        biases = [alibi, draw(1, HEADS, TOKENS, TOKENS), alibi[:, :1],
                  draw(TOKENS, TOKENS, HEADS).permute(2, 1, 0), draw(1, 1).expand(TOKENS, TOKENS),
                  draw(ROWS, 1, 1, TOKENS).expand(-1, HEADS, TOKENS, -1)]
        for dtype in DTYPES:
            x, layers, _ = block(26, dtype)
            for bias in biases:
                bias = bias.to(dtype)
                for causal in (False, True):
                    seen = triangle(TOKENS, TOKENS) if causal else torch.tensor(True)
                    got = ops.multi_head_attention(x, *layers, HEADS, causal=causal, bias=bias,
                                                   scale=1.0)
                    self.near(got, plain64(x, layers, None, False, False, seen, bias, 1.0), dtype)

    def test_masks_of_every_kind_go_together(self):
        x, layers, norm = block(26)
        mask = torch.rand(ROWS, HEADS, TOKENS, TOKENS) < 0.7
        bias = draw(ROWS, 1, TOKENS, TOKENS)
        bias[torch.rand(bias.shape) < 0.2] = -math.inf
        lengths = [7, 5, 6]
        seen = mask & triangle(TOKENS, TOKENS) & (bias != -math.inf) & (
            torch.arange(TOKENS) < torch.tensor(lengths)[:, None])[:, None, None]
        got = ops.multi_head_attention(x, *layers, HEADS, causal=True, mask=mask, bias=bias,
                                       lengths=lengths, norm=norm, pre_norm=True)
        self.near(got, plain64(x, layers, norm, True, False, seen, bias.clamp_min(-1e30)))

    def test_a_query_that_sees_nothing_gives_zeros_whatever_is_there(self):
        x, layers, _ = block(20)
        mask = torch.ones(TOKENS, TOKENS, dtype=torch.bool)
        mask[:, 2] = False
        mask[4] = False
        x[1, 2] = math.nan  # its own query and key alone
        got = ops.multi_head_attention(x, *layers, HEADS, mask=mask)
        self.assertTrue(torch.equal(got[:, 4], layers[3].bias.expand(ROWS, -1)))
        others = [0, 1, 3, 5, 6]
        self.assertTrue(torch.isfinite(got[1, others]).all())

    def test_torch_itself_says_the_same(self):
        module = torch.nn.MultiheadAttention(WIDTH, HEADS, batch_first=True, dtype=torch.float64)
        module32 = torch.nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)
        module32.load_state_dict(module.state_dict())
        weights = module32.in_proj_weight.chunk(3)  # views: nothing is copied
        biases = module32.in_proj_bias.chunk(3)
        x = draw(ROWS, TOKENS, WIDTH)
        hidden = torch.rand(ROWS, TOKENS) < 0.3
        hidden[:, 0] = False
        want, _ = module(x.double(), x.double(), x.double(), key_padding_mask=hidden)
        got = ops.multi_head_attention(
            x, *zip(weights, biases), (module32.out_proj.weight, module32.out_proj.bias), HEADS,
            mask=~hidden[:, None, None])
        self.near(got, want.detach())


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
