"""Generation, encoding and conversion: what comes out, in which form, and how it ends."""
import contextlib
import gc
import os
import subprocess
import threading
import time
import unittest

import eet
import numpy
import torch

import support


def run_tool(name, *arguments):
    return subprocess.run([os.path.join(os.environ["EET_BIN"], name), *arguments], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=True).stdout


class Generate(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.gold = support.golden("gpt2_tiny")
        cls.rows = support.rows(cls.gold)
        cls.generator = eet.Generator(support.model("gpt2_tiny"), device="cpu",
                                      max_batch_size=len(cls.rows),
                                      num_beams=4)

    def test_takes_the_real_librarys_tokens(self):
        found = self.generator.generate(self.rows, max_new_tokens=8, ignore_eos=True)
        for row, one in enumerate(found):
            for i, token in enumerate(self.gold["greedy"][row]):
                if self.gold["gap"][row][i] < 1e-4:
                    break
                self.assertEqual(one.token_ids[i], token)
            self.assertEqual((one.row, one.finish_reason, len(one.token_ids)), (row, "length", 8))

    def test_of_translation_too(self):
        gold = support.golden("fs012_nmt")
        sources = support.rows(gold, "source_tokens", "source_start")
        first = [row[:1] for row in support.rows(gold)]
        with eet.Generator(support.model("fs012_nmt"), device="cpu", max_batch_size=3,
                           num_beams=2) as generator:
            one = generator.generate(first, source_ids=sources, max_new_tokens=4)
            again = generator.generate(first, source_ids=sources, max_new_tokens=4, num_beams=2,
                                       num_return_sequences=2)
            self.assertEqual([generation.row for generation in again], [0, 0, 1, 1, 2, 2])
            self.assertEqual(len(one), 3)
            alone = generator.generate(first[:1], source_ids=sources[:1], max_new_tokens=4)
            self.assertEqual(alone[0].token_ids, one[0].token_ids)
            with self.assertRaises(ValueError):
                generator.generate(first, source_ids=sources[:2])

    def test_arrays_give_arrays_of_their_kind(self):
        ids = numpy.array([[1, 2, 3], [0, 4, 5]])
        mask = numpy.array([[1, 1, 1], [0, 1, 1]])
        lists = self.generator.generate([[1, 2, 3], [4, 5]], max_new_tokens=5)
        for made in (ids, ids.astype("i4"), torch.tensor(ids)):
            found = self.generator.generate(made, attention_mask=mask, max_new_tokens=5)
            self.assertIs(type(found), type(made))
            self.assertEqual(found.dtype, made.dtype)
            self.assertEqual(found[:, :3].tolist(), ids.tolist())
            self.assertEqual(found[:, 3:].tolist(), [one.token_ids for one in lists])
        details = self.generator.generate(ids, attention_mask=mask, max_new_tokens=5, details=True)
        self.assertEqual(details[1].token_ids, lists[1].token_ids)
        self.assertEqual(self.generator.generate(ids[0], max_new_tokens=5).shape, (8,))

    def test_rows_that_end_are_padded(self):
        ids = numpy.array([[49], [1]])
        found = self.generator.generate(ids, max_new_tokens=30, pad_token_id=77,
                                        stop_token_ids=[69])
        lists = self.generator.generate(ids.tolist(), max_new_tokens=30, stop_token_ids=[69])
        for row, one in zip(found, lists):
            self.assertEqual(row[1:1 + len(one.token_ids)].tolist(), one.token_ids)
            self.assertTrue((row[1 + len(one.token_ids):] == 77).all())
        self.assertIn("stop", {one.finish_reason for one in lists})

    def test_draws_are_those_of_the_seed(self):
        how = {"max_new_tokens": 6, "temperature": 8.0, "top_k": 50, "top_p": 0.99}
        one = self.generator.generate(self.rows[:2], seed=3, **how)
        again = self.generator.generate(self.rows[:2], seed=3, **how)
        other = self.generator.generate(self.rows[:2], seed=4, **how)
        self.assertEqual([g.token_ids for g in one], [g.token_ids for g in again])
        self.assertNotEqual([g.token_ids for g in one], [g.token_ids for g in other])
        several = self.generator.generate(self.rows[0], num_return_sequences=3, seed=3, **how)
        self.assertEqual([g.row for g in several], [0, 0, 0])
        self.assertGreater(len({tuple(g.token_ids) for g in several}), 1)

    def test_options_that_are_kept_are_those_of_each_call(self):
        with eet.Generator(support.model("gpt2_tiny"), device="cpu") as generator:
            def run(**how):
                return generator.generate([1, 2, 3], **how)[0].token_ids

            first = run(max_new_tokens=6)
            stops = [first[3]]
            self.assertEqual(run(max_new_tokens=6, stop_token_ids=stops), first[:4])
            stops[0] = first[1]
            self.assertEqual(run(max_new_tokens=6, stop_token_ids=stops), first[:2])
            self.assertEqual(run(max_new_tokens=6), first)
            self.assertEqual(run(max_new_tokens=6), first)
            self.assertEqual(run(max_new_tokens=3), first[:3])
            for _ in range(2):
                with self.assertRaises(eet.ArgumentError):
                    run(max_new_tokens=0)
                with self.assertRaises(TypeError):
                    run(max_new_token=3)

    def test_tokens_beyond_the_room_for_events_come_too(self):
        with eet.Generator(support.model("gpt2_tiny"), device="cpu", max_batch_size=60) as generator:
            found = generator.generate([[1, 2, 3]] * 60, max_new_tokens=40, ignore_eos=True)
            streamed = [token.token for token in generator.stream(
                [1, 2, 3], max_new_tokens=40, ignore_eos=True)]
            self.assertEqual([one.token_ids for one in found], [streamed] * 60)
            self.assertEqual([len(one.log_probs) for one in found], [40] * 60)

    def test_is_what_eet_run_prints(self):
        ids = ",".join(map(str, self.rows[0]))
        text = run_tool("eet-run", support.model("gpt2_tiny"), "--ids", ids, "--max-new-tokens",
                        "6", "--num-beams", "3", "--json")
        found = self.generator.generate(self.rows[0], max_new_tokens=6, num_beams=3)
        self.assertIn(str(found[0].token_ids).replace(" ", ""), text.replace(" ", ""))
        self.assertIsInstance(found[0].score, float)

    def test_beams_come_best_first(self):
        found = self.generator.generate(self.rows[0], max_new_tokens=6, num_beams=4,
                                        num_return_sequences=4)
        scores = [one.score for one in found]
        self.assertEqual(scores, sorted(scores, reverse=True))
        self.assertAlmostEqual(scores[0], sum(found[0].log_probs) / len(found[0].token_ids),
                               places=4)

    def test_likeliest_tokens_are_told(self):
        one = self.generator.generate(self.rows[0], max_new_tokens=4, logprobs=3)[0]
        self.assertEqual([len(top) for top in one.top], [3] * 4)
        for token, log_prob, top in zip(one.token_ids, one.log_probs, one.top):
            self.assertEqual(top[0], (token, log_prob))

    def test_what_cannot_be_is_refused(self):
        for bad in ({"max_new_tokens": 0}, {"top_p": 0}, {"top_p": 2}, {"seed": -1},
                    {"num_beams": 0}, {"num_return_sequences": 0}, {"repetition_penalty": 0},
                    {"early_stopping": "often"}, {"head": "mlm"}, {"temperature": -1.0},
                    {"stop_token_ids": ["a"]}, {"stop_token_ids": [1] * 65}, {"logprobs": 1000},
                    {"num_beams": 2, "num_return_sequences": 3}, {"min_new_tokens": 99},
                    {"num_beams": 2, "temperature": 1.0}):
            with self.assertRaises((eet.Error, TypeError), msg=bad):
                self.generator.generate([1, 2], **bad)
        with self.assertRaises(TypeError):
            self.generator.generate([1, 2], no_such_thing=1)
        for bad in (None, [], [[]], [101], [-1], [1] * 65, [[1]] * 99):
            with self.assertRaises(eet.Error, msg=bad):
                self.generator.generate(bad)
        self.assertEqual(len(self.generator.generate([1, 2], max_new_tokens=3)[0].token_ids), 3)


class Stream(unittest.TestCase):
    def setUp(self):
        self.generator = eet.Generator(support.model("gpt2_tiny"), device="cpu", max_batch_size=2)
        self.addCleanup(self.generator.close)

    def test_gives_what_generate_gives(self):
        rows = [[1, 2, 3], [4, 5]]
        found = {0: [], 1: []}
        last = {}
        for token in self.generator.stream(rows, max_new_tokens=5, logprobs=1):
            found[token.row].append(token.token)
            self.assertEqual(token.position, len(rows[token.row]) + len(found[token.row]) - 1)
            self.assertEqual(token.top[0][0], token.token)
            last[token.row] = token.finish_reason
        done = self.generator.generate(rows, max_new_tokens=5)
        self.assertEqual([found[0], found[1]], [one.token_ids for one in done])
        self.assertEqual(last, {0: "length", 1: "length"})

    def test_that_is_left_frees_the_generator(self):
        with contextlib.closing(self.generator.stream([1, 2])) as stream:
            next(stream)
            with self.assertRaisesRegex(eet.StateError, "stream"):
                self.generator.generate([1])
            with self.assertRaises(eet.StateError):
                self.generator.stream([1])
        self.generator.generate([1], max_new_tokens=1)
        stream = self.generator.stream([1, 2])
        next(stream)
        self.generator._stream = None
        del stream
        gc.collect()
        self.generator.generate([1], max_new_tokens=1)

    def test_of_a_closed_generator_ends(self):
        stream = self.generator.stream([1, 2])
        next(stream)
        self.generator.close()
        with self.assertRaises(eet.ClosedError):
            next(stream)
        with self.assertRaises(eet.ClosedError):
            self.generator.generate([1])

    def test_that_is_cancelled_says_so(self):
        tokens = []
        for token in self.generator.stream([1, 2], ignore_eos=True):
            tokens.append(token)
            if len(tokens) == 3:
                self.generator.cancel()
        self.assertEqual((tokens[-1].finish_reason, tokens[-1].token), ("cancelled", None))
        self.assertEqual(len(tokens), 4)

    def test_is_cancelled_by_another_thread(self):
        with eet.Generator(support.slow_model(), device="cpu", max_seq_len=4096) as generator:
            threading.Timer(0.1, generator.cancel).start()
            began = time.monotonic()
            with self.assertRaises(eet.CancelledError):  # the prompt is not through
                generator.generate([1] * 3900)
            self.assertLess(time.monotonic() - began, 1.0)

    def test_of_a_session_gives_lists_a_step(self):
        with support.load("gpt2_tiny") as model, model.session(
                max_sequences=2) as session:
            session.step([1, 2], sequence=1)
            with session.generate([3], sequence=1, max_new_tokens=2) as running:
                steps = list(running)
                with self.assertRaises(eet.Error):
                    session.generate([1])
            self.assertEqual([len(step) for step in steps], [1, 1])
            self.assertEqual(steps[0][0].position, 3)
            with self.assertRaises(StopIteration):
                next(running)


class Encode(unittest.TestCase):
    def test_sentences_are_those_of_the_real_library(self):
        for name in ("sentence_mean", "sentence_cls", "sentence_dense", "sentence_last"):
            gold = support.golden(name)
            with eet.Encoder(support.model(name)) as encoder:
                rows = support.rows(gold)
                found = encoder.encode(rows).numpy()
                numpy.testing.assert_allclose(found, gold["sentence"], atol=1e-4)

    def test_pools_and_normalizes(self):
        gold = support.golden("bert_tiny")
        rows = support.rows(gold)
        with eet.Encoder(support.model("bert_tiny"), device="cpu") as encoder:
            types = support.rows(gold, "types")
            for pooling, pick in (("mean", lambda h: h.mean(0)), ("cls", lambda h: h[0]),
                                  ("last", lambda h: h[-1])):
                expected = numpy.array([pick(gold["hidden"][a:b]) for a, b in
                                        zip(gold["start"], gold["start"][1:])])
                found = encoder.encode(rows, token_type_ids=types, pooling=pooling)
                numpy.testing.assert_allclose(found.numpy(), expected, atol=1e-4)
                expected /= numpy.linalg.norm(expected, axis=-1, keepdims=True)
                found = encoder.encode(rows, token_type_ids=types, pooling=pooling, normalize=True)
                numpy.testing.assert_allclose(found.numpy(), expected, atol=1e-5)
            ids = torch.tensor(rows[0][:5])[None]
            one = encoder.encode(ids, normalize=True, dtype="f16")
            self.assertAlmostEqual(float(one.float().norm()), 1.0, places=2)
            one = encoder.encode(ids.numpy(), normalize=True)
            self.assertAlmostEqual(float(numpy.linalg.norm(one)), 1.0, places=5)
            self.assertEqual(encoder.encode(ids, pooling="none").shape, (1, 5, 32))
            self.assertEqual(encoder.encode(ids, head="pooler").shape, (1, 32))
            for bad in ({"pooling": "max"}, {"head": "lm"}):
                with self.assertRaises(ValueError):
                    encoder.encode(ids, **bad)
        with self.assertRaises(eet.ClosedError):
            encoder.encode([1])


class Convert(unittest.TestCase):
    def test_tells_what_it_wrote(self):
        path = os.path.join(support.FOLDER, "half.eet")
        told = eet.convert(os.path.join(support.ROOT, "fixtures/checkpoints/gpt2_tiny"), path,
                           dtype=numpy.float16, metadata={"who": "me"})
        with eet.load(path, device="cpu") as model:
            self.assertEqual(model.digest, "sha256:" + told["content_sha256"])
            self.assertEqual(model.tensors["dec.emb.tok"].dtype, "f16")
        self.assertEqual(eet.inspect(path)["provenance"]["user.who"], "me")

    def test_needs_its_program(self):
        done = support.python("import eet; eet.convert('a', 'b')", EET_BIN="/nowhere")
        self.assertIn("/nowhere", done.stderr)
        self.assertIn("ConversionError", done.stderr)


if __name__ == "__main__":
    unittest.main()
