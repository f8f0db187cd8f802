"""Arrays on a GPU: shared, not copied, and in the order of torch's stream. Needs CUDA here, in torch
and beside the library; docs/python.md says how to run it on a machine without eet-convert."""
import unittest

import eet
import numpy
import torch

import support


def setUpModule():
    if not torch.cuda.is_available():
        raise unittest.SkipTest("torch finds no CUDA device")
    if "cuda" not in eet.backends():
        raise unittest.SkipTest("the library has no CUDA backend")


class Device(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.model = eet.load(support.model("gpt2_tiny"))
        cls.host = eet.load(support.model("gpt2_tiny"), device="cpu")
        cls.session = cls.model.session(max_sequences=2)
        cls.ids = torch.tensor([[1, 2, 3, 4], [5, 6, 7, 8]])
        cls.expected = cls.host.session().encode(cls.ids)

    def near(self, found, expected, tolerance=1e-4):
        self.assertLess(float((found.float().cpu() - expected).abs().max()), tolerance)

    def test_is_taken_where_there_is_one(self):
        self.assertEqual(self.model.device, "cuda:0")

    def test_results_stay_there(self):
        for ids in (self.ids.cuda(), self.ids.int().cuda(), self.ids.cuda().t().contiguous().t()):
            found = self.session.encode(ids)
            self.assertEqual(found.device, torch.device("cuda:0"))
            self.near(found, self.expected)
        for dtype in (torch.float16, torch.bfloat16):
            found = self.session.encode(self.ids.cuda(), outputs=(0, None, None, dtype))
            self.assertIs(found.dtype, dtype)
            self.near(found, self.expected, 0.1)

    def test_masked_rows_are_put_in_their_places(self):
        mask = torch.tensor([[1, 1, 1, 1], [0, 1, 0, 1]])
        expected = self.host.session().encode(self.ids, attention_mask=mask)
        found = self.session.encode(self.ids.cuda(), attention_mask=mask.cuda())
        self.near(found, expected)
        self.assertFalse(found[1, 0].any())

    def test_out_is_written_where_it_lies(self):
        out = torch.empty(2, 4, 101, device="cuda")
        where = out.data_ptr()
        found = self.session.encode(self.ids, outputs=eet.Output("lm", out=out))
        self.assertIs(found, out)
        self.assertEqual(out.data_ptr(), where)
        self.near(out, self.expected)

    def test_what_torch_has_begun_comes_before(self):
        big = torch.randn(4096, 4096, device="cuda")
        for i in range(20):
            out = torch.empty(2, 4, 101, device="cuda")
            product = big
            for _ in range(8):
                product = product @ big * 1e-3
            out.fill_(float(i) + product[0, 0] * 0)  # waits for the products on torch's stream
            self.session.encode(self.ids, outputs=eet.Output("lm", out=out))
            self.near(out, self.expected)

    def test_generation_gives_the_tokens_of_the_cpu(self):
        with eet.Generator(self.model, max_batch_size=2) as there, eet.Generator(
                self.host, max_batch_size=2) as here:
            found = there.generate(self.ids.cuda(), max_new_tokens=8)
            self.assertEqual(found.device, torch.device("cuda:0"))
            self.assertEqual(found.tolist(), here.generate(self.ids, max_new_tokens=8).tolist())

    def test_vectors_are_normalized_there(self):
        with eet.Encoder(support.model("bert_tiny")) as encoder:
            found = encoder.encode(self.ids.cuda(), normalize=True)
            self.assertEqual(found.device, torch.device("cuda:0"))
            self.near(found.norm(dim=-1), torch.ones(2))

    def test_bound_steps_write_there(self):
        token = numpy.zeros(1, "i4")
        out = torch.empty(1, 101, device="cuda")
        session = self.model.session()
        step = session.bind(token, outputs=eet.Output("lm", "last", out=out))
        for i, value in enumerate(self.ids[0].tolist()):
            token[0] = value
            step()
            self.near(out, self.expected[0, i:i + 1])

    def test_arrays_elsewhere_are_refused(self):
        host = self.host.session()
        with self.assertRaisesRegex(eet.ArgumentError, "cuda:0"):
            host.encode(self.ids.cuda())

        class Interface:
            def __init__(self, data):
                self.data = data
                self.__cuda_array_interface__ = data.__cuda_array_interface__

        with self.assertRaisesRegex(eet.UnsupportedError, "torch"):
            self.session.encode(self.ids, outputs=eet.Output(
                "lm", out=Interface(torch.empty(2, 4, 101, device="cuda"))))
        with self.assertRaisesRegex(eet.UnsupportedError, "cuda"):
            self.session.encode(Interface(self.ids.cuda()))


if __name__ == "__main__":
    unittest.main()
