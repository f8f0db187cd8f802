"""Parts of a model on a GPU: they give what they give on the CPU, with the weights that lie there."""
import unittest

import eet
import torch
from eet import _layers

import device_support
import support


def setUpModule():
    device_support.need_cuda()


class Parts(unittest.TestCase):
    def near(self, found, want):
        self.assertEqual(found.device.type, "cuda")
        self.assertLess(float((found.cpu() - want).abs().max()), 2e-4)

    def pair(self, name, make):
        """The part of a model on the CPU, and of the same on the GPU."""
        return (make(eet.load(support.model(name), device="cpu")),
                make(eet.load(support.model(name))))

    def states(self, part, columns=5, seed=1):
        torch.manual_seed(seed)
        return torch.randn(2, columns, int(part.model.hidden))

    def test_weights_are_the_models_own(self):
        model = eet.load(support.model("gpt2_tiny"))
        weight = model._there("dec.0000.attn.qkv.w")
        self.assertEqual((weight.device, weight.readonly), ("cuda:0", True))
        with self.assertRaises(BufferError):
            torch.from_dlpack(weight)
        self.assertIs(model._there("dec.0000.attn.qkv.w"), weight)
        half = eet.load(support.model("gpt2_tiny"), dtype="f16")
        self.assertEqual(half._there("dec.0000.attn.qkv.w").dtype, "f16")

    def test_embeddings(self):
        for name in ("gpt2_tiny", "bert_tiny", "fs012_nmt"):
            host, there = self.pair(name, _layers.Embedding)
            ids = torch.tensor([[1, 2, 3], [4, 5, 6]])
            self.near(there(ids.cuda()), host(ids))

    def test_norms_and_feed_forward(self):
        for name in ("gpt2_tiny", "bert_tiny"):
            for make in (_layers.Feedforward, lambda model: _layers.LayerNorm(
                    model, "enc.0000.attn.norm" if model.has_encoder else "")):
                host, there = self.pair(name, make)
                x = self.states(host)
                self.near(there(x.cuda()), host(x))

    def test_a_decoders_attention_keeps_what_it_saw(self):
        host, there = self.pair("gpt2_tiny", _layers.Attention)
        mask = torch.tensor([[1, 1, 1, 1, 1], [0, 1, 1, 0, 1]])
        x = self.states(host)
        self.near(there(x.cuda(), mask.cuda()), host(x, mask))
        for step, reorder in ((2, None), (3, [1, 0]), (4, [0, 0])):
            x = self.states(host, 1, step)
            self.near(there(x.cuda(), None, reorder, first_pass=False),
                      host(x, None, reorder, first_pass=False))
        x = self.states(host, 70, 9)  # more than there was room for
        self.near(there(x.cuda(), first_pass=False), host(x, first_pass=False))

    def test_blocks_and_stacks(self):
        for name in ("gpt2_tiny", "bert_tiny"):
            host, there = self.pair(name, _layers.Stack)
            x = self.states(host)
            self.near(there(x.cuda()), host(x))

    def test_cross_attention(self):
        host, there = self.pair("fs012_nmt", _layers.Layer)
        x, source = self.states(host), torch.randn(2, 7, int(host.model.fact("dec.cross_dim")))
        keep = torch.tensor([[1] * 7, [1, 1, 1, 0, 0, 0, 0]])
        self.near(there(x.cuda(), encoder_out=source.cuda(), encoder_attention_mask=keep.cuda()),
                  host(x, encoder_out=source, encoder_attention_mask=keep))
        x = self.states(host, 1, 3)
        self.near(there(x.cuda(), first_pass=False), host(x, first_pass=False))

    def test_the_host_computes_what_lies_on_the_host(self):
        host, there = self.pair("gpt2_tiny", _layers.Feedforward)
        x = self.states(host)
        self.assertTrue(torch.equal(there(x), host(x)))
        with self.assertRaisesRegex(eet.ArgumentError, "lies on cuda:0, the model on cpu"):
            host(x.cuda())


if __name__ == "__main__":
    unittest.main()
