"""Arrays on a GPU: shared, not copied, and in the order of torch's stream. Needs CUDA here, in torch
and beside the library; docs/python.md says how to run it on a machine without eet-convert."""
import unittest

import eet
import numpy
import torch

import device_support
import support
from device_support import Interface, Producer


def setUpModule():
    device_support.need_cuda()


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
        with self.assertRaisesRegex(eet.UnsupportedError, "cuda"):
            host.encode(Producer(self.ids.cuda()))
        with self.assertRaisesRegex(eet.ArgumentError, "cuda:0"):
            host.source_set(0, torch.zeros(3, 32, device="cuda"))

    def test_unknown_frameworks_are_read_and_written_without_copies(self):
        stream = torch.cuda.current_stream().cuda_stream or 1
        for ids in (Producer(self.ids.cuda()), Producer(self.ids.int().cuda()),
                    Producer(self.ids.cuda().t().contiguous().t()),
                    Interface(self.ids.cuda(), stream), Interface(self.ids.int().cuda(), None)):
            found = self.session.encode(ids)
            self.assertIsInstance(found, eet.Tensor)
            self.assertEqual(found.device, "cuda:0")
            shared = torch.from_dlpack(found)
            self.assertEqual(shared.data_ptr(), found.pointer)
            self.near(shared, self.expected)
        for wrap in (Producer, lambda out: Interface(out, stream)):
            out = torch.empty(2, 4, 101, device="cuda")
            self.session.encode(self.ids, outputs=eet.Output("lm", out=wrap(out)))
            self.near(out, self.expected)

    def test_a_producer_is_asked_for_the_sessions_stream(self):
        ids = Producer(self.ids.cuda())
        self.session.encode(ids)
        self.assertEqual(set(ids.asked), {self.session._stream})

    def test_cupy_gives_cupy(self):
        try:
            import cupy
        except ImportError:
            self.skipTest("there is no CuPy")
        ids, mask = cupy.asarray(self.ids.numpy()), cupy.asarray([[1, 1, 1, 1], [0, 1, 0, 1]])
        for given in ({}, {"attention_mask": mask}):
            found = self.session.encode(ids, **given)
            self.assertIsInstance(found, cupy.ndarray)
            want = self.host.session().encode(
                self.ids, **{key: torch.from_numpy(value.get()) for key, value in given.items()})
            self.near(torch.from_numpy(found.get()), want)
        out = cupy.empty((2, 4, 101), "f4")
        found = self.session.encode(ids, outputs=eet.Output("lm", out=out))
        self.assertIs(found, out)
        self.near(torch.from_numpy(out.get()), self.expected)
        with eet.Generator(self.model, max_batch_size=2) as generator:
            made = generator.generate(ids, max_new_tokens=3)
            self.assertIsInstance(made, cupy.ndarray)
            self.assertEqual((made.shape, made.dtype), ((2, 7), ids.dtype))
        with eet.Encoder(support.model("bert_tiny")) as encoder:
            vectors = encoder.encode(ids, normalize=True)
            self.assertLess(float(abs((vectors ** 2).sum(-1) - 1).max()), 1e-5)

    def test_scores_come_to_where_the_tokens_are(self):
        found = self.model.session().score(self.ids[:1].cuda(), top=2)
        want = self.host.session().score(self.ids[:1], top=2)
        self.assertEqual(found.log_prob.device.type, "cuda")
        self.near(found.log_prob[:-1], want.log_prob[:-1])
        self.assertTrue(torch.equal(found.top_tokens.cpu()[:-1], want.top_tokens[:-1]))

    def test_an_unknown_framework_may_give_a_mask_with_packed_rows(self):
        ids = Producer(torch.tensor([1, 2, 3, 4, 5, 6], device="cuda"))
        found = self.session.encode(ids, start=[0, 4, 6])
        self.near(torch.from_dlpack(found)[:4], self.expected[0])
        with self.assertRaisesRegex(eet.UnsupportedError, "packed rows"):
            self.session.encode(Producer(self.ids.cuda()),
                                attention_mask=[[1, 1, 1, 1], [0, 1, 1, 1]])


class Sources(unittest.TestCase):
    def test_states_of_an_encoder_stay_there(self):
        model, host = eet.load(support.model("fs012_nmt")), eet.load(support.model("fs012_nmt"),
                                                                     device="cpu")
        wide = torch.randn(5, 2 * int(host.fact("dec.cross_dim")))
        states, steps = wide[:, ::2], [[2, 4, 5]]
        options = {"max_sources": 1, "source_tokens": 16}
        session = host.session(**options)
        session.source_set(0, states.contiguous())
        want = session.step(torch.tensor(steps), source=[0])
        session = model.session(**options)
        there = wide.cuda()
        for given in (there[:, ::2], there[:, ::2].double(), Producer(there[:, ::2])):
            session.source_set(0, given)
            found = session.step(torch.tensor(steps).cuda(), source=[0])
            session.trim(0)
            self.assertLess(float((found.cpu() - want).abs().max()), 1e-3)


if __name__ == "__main__":
    unittest.main()
