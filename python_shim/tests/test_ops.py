"""The operators' attention against torch in float64, on the numbers that f32, f16 and bf16 leave of
the operands: every switch, mask, layout, head size. A test's name begins with its number in
docs/compat.md."""
import math
import unittest

import eet
import torch
from eet import ops

from ops_support import (Case, DTYPES, HEADS, ROWS, SWITCHES, TOKENS, WIDTH, attend64, block,
                         caches, draw, layer, linear64, plain64, split, switch64, triangle)


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
            self.same(none, ops.multi_head_attention(x, *layers, HEADS, mask=ones))
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


if __name__ == "__main__":
    unittest.main()
