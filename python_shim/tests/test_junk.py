"""Whatever a caller gives: an exception of ours or of Python's for wrong arguments, and a process that
goes on. Arguments are drawn with a fixed seed."""
import array
import os
import random
import tempfile
import unittest
import warnings

import eet
import numpy
from eet import ops
from eet.transformers import AutoModelForCausalLM

import support

CALLS = 3000
REFUSALS = (eet.Error, TypeError, ValueError, OverflowError, BufferError, OSError)


def junk():
    """What nobody should give, and some of what one may."""
    numbers = [None, 0, 1, -1, 2**31, 2**63, 2**70, 1.5, float("nan"), True, object(), "x", "lm", b"x",
               {}, {1: 2}, {1, 2}, range(3), (1, 2), lambda: 0]
    lists = [[], [[]], [None], [[1], [2, 3]], [1, 2], [[1, 2], [3, 4]], [[1, 2], [3]], [1, "a"],
             [[1, [2]]], [2**40], [-1], [500]]
    arrays = [numpy.array(3), numpy.array([1, 2]), numpy.array([[1, 2], [3, 4]], "i4"),
              numpy.zeros((2, 0), "i4"), numpy.array([2**63], "u8"), numpy.array([1.0]),
              numpy.array(["a"]), numpy.array([None]), numpy.array([1, 2], ">i4"),
              numpy.array([1 + 2j]), numpy.arange(6)[::-2], numpy.zeros((1,) * 8, "i8"),
              numpy.broadcast_to(numpy.array([1]), (2, 2)), numpy.array([True, False]),
              numpy.array([(1, 2)], "i4,i4"), numpy.zeros((1, 101), "f4"), numpy.zeros((2, 2, 2)),
              memoryview(b"abcd"), bytearray(4), array.array("i", [1, 2]), array.array("f", [1])]
    outputs = [("lm", "last"), ("hidden", "mean"), eet.Output("lm", "given", [0]),
               ["lm", "hidden"], [("lm", "last"), None], eet.Output(head=[1]),
               eet.Output("lm", take=7), eet.Output("lm", dtype=3), [["lm"]],
               eet.Output("lm", "last", out=numpy.zeros((1, 101), "f4"))]
    return numbers + lists + arrays + outputs


class Junk(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.model = support.load("gpt2_tiny")
        cls.session = cls.model.session(max_sequences=3, max_tokens=40, threads=1)
        cls.generator = eet.Generator(cls.model, max_batch_size=2, threads=1)
        cls.encoder = eet.Encoder(support.model("bert_tiny"), device="cpu", threads=1)
        cls.drop_in = AutoModelForCausalLM.from_pretrained(support.model("gpt2_tiny"), device="cpu")

    @classmethod
    def tearDownClass(cls):
        for one in (cls.drop_in, cls.encoder, cls.generator, cls.session, cls.model):
            one.close()

    def calls(self):
        """Functions of one argument, and the keywords that they have."""
        session, generator, beside = self.session, self.generator, ["types", "positions", "start"]
        how = ["max_new_tokens", "temperature", "top_k", "top_p", "seed", "stop_token_ids", "num_beams",
               "forced_token_ids", "logprobs", "head", "streams", "repetition_penalty"]
        return [
            (session.step, [*beside, "attention_mask", "sequence", "source", "outputs"]),
            (session.encode, [*beside, "attention_mask", "outputs"]),
            (session.bind, ["start", "sequence", "outputs"]), (session.trim, ["length"]),
            (session.score, ["targets", "head", "top", "sequence"]), (session.length, []),
            (session.export, ["layer"]), (lambda a, target=1: session.fork(a, target), ["target"]),
            (lambda a, hidden=None: session.source_set(a, hidden), ["hidden"]),
            (lambda a, **k: generator.generate(a, **{"max_new_tokens": 2, **k}), how),
            (lambda a, **k: list(generator.stream(a, **{"max_new_tokens": 2, **k})), how),
            (generator.forward, ["attention_mask", "head", "dtype"]),
            (self.encoder.encode, ["attention_mask", "token_type_ids", "pooling", "head", "out"]),
            (self.drop_in, ["attention_mask", "position_ids", "past_key_values", "labels"]),
            (lambda a, **k: self.drop_in.generate(a, **{"max_new_tokens": 2, **k}),
             ["do_sample", "num_beams", "eos_token_id", "attention_mask", "num_return_sequences"]),
            (lambda a, **k: eet.load(a, **k).close(), ["device", "dtype", "mmap", "verify"]),
            (lambda a: self.model.tensors["dec.emb.tok"].view(a), []), (self.model.fact, ["default"]),
            (ops.layernorm, ["weight", "bias", "eps"]),
        ]

    def test_is_refused_in_words(self):
        draw, given, calls, refused = random.Random(5), junk(), self.calls(), 0
        good = [[1, 2], numpy.array([[1, 2], [3, 4]]), numpy.array([3], "i4")]
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # numpy's, of comparisons with text
            before = os.getcwd()
            os.chdir(folder)
            self.addCleanup(os.chdir, before)
            for _ in range(CALLS):
                function, names = draw.choice(calls)
                first = draw.choice(good if draw.random() < 0.5 else given)
                named = {name: draw.choice(given)
                         for name in draw.sample(names, min(len(names), draw.randint(0, 2)))}
                try:
                    function(first, **named)
                except REFUSALS as error:
                    refused += 1
                    self.assertNotIsInstance(error, eet.InternalError, (function, first, named))
                self.session._forget()
            os.chdir(before)
        self.assertGreater(refused, CALLS // 2)
        self.assertEqual(self.generator.generate([1, 2, 3], max_new_tokens=3)[0].token_ids, [4, 5, 6])


if __name__ == "__main__":
    unittest.main()
