"""Shared by the tests of the operators: operands, and what torch makes of them in float64."""
import math
import unittest

import torch
from eet import ops

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

    def same(self, got, want):
        """Equal to the last bit where one kernel computes both."""
        self.assertTrue(torch.equal(got, want))

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
