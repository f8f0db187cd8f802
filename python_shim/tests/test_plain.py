"""The package with nothing but Python's own library, as other interpreters than the system's run it
(tests/python/versions.sh): lists, buffers and DLPack; no numpy, no torch."""
import array
import contextlib
import os
import pickle
import signal
import threading
import unittest

import eet

import support


class Plain(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.model = eet.load(support.model("gpt2_tiny"), device="cpu")

    @classmethod
    def tearDownClass(cls):
        cls.model.close()

    def test_nothing_else_is_loaded(self):
        program = ("import sys, eet; model = eet.load(sys.argv[1], device='cpu'); "
                   "eet.Generator(model).generate([1, 2, 3], max_new_tokens=2); "
                   "print([name for name in ('numpy', 'torch') if name in sys.modules])")
        done = support.python(program, support.model("gpt2_tiny"))
        self.assertEqual((done.stdout, done.stderr), ("[]\n", ""))

    def test_lists_and_buffers_give_the_same(self):
        with self.model.session(max_sequences=2) as session:
            expected = session.step([[5, 6, 7], [8, 9]], outputs=("lm", "last")).tolist()
            for row in range(2):
                session.trim(row)
            ids = array.array("q", [5, 6, 7, 8, 9])
            found = session.step(ids, start=[0, 3, 5], outputs=("lm", "last"))
            self.assertEqual(found.tolist(), expected)
            for row in range(2):
                session.trim(row)
            out = array.array("f", bytes(4 * self.model.vocab_size))
            self.assertIs(session.step([5, 6, 7], outputs=eet.Output("lm", "last", out=out)), out)
            self.assertEqual(list(out), expected[0])

    def test_steps_equal_one_pass(self):
        with self.model.session(max_sequences=2) as session:
            whole = session.step([1, 2, 3, 4], sequence=1).tolist()
            parts = [session.step([one]).tolist()[0] for one in (1, 2, 3, 4)]
            for one, other in zip(whole, parts):
                self.assertLess(max(abs(a - b) for a, b in zip(one, other)), 1e-4)

    def test_generation_and_stream_agree(self):
        with eet.Generator(self.model) as generator:
            ids = generator.generate([1, 2, 3], max_new_tokens=5)[0].token_ids
            tokens = list(generator.stream([1, 2, 3], max_new_tokens=5))
            self.assertEqual([token.token for token in tokens], ids)
            self.assertEqual(tokens[-1].finish_reason, "length")
            beams = generator.generate([1, 2, 3], max_new_tokens=4, temperature=0.7, seed=5,
                                       num_return_sequences=1)
            self.assertEqual(len(beams[0].token_ids), 4)

    def test_encoder_gives_unit_vectors(self):
        with eet.Encoder(support.model("bert_tiny"), device="cpu") as encoder:
            vectors = encoder.encode([[1, 2, 3], [4, 5]], normalize=True).tolist()
            for vector in vectors:
                self.assertAlmostEqual(sum(x * x for x in vector), 1, places=5)

    def test_weights_are_read_only_views(self):
        weight = self.model.tensors["dec.emb.tok"]
        seen = memoryview(weight.memoryview())
        self.assertTrue(seen.readonly)
        with self.assertRaises(BufferError):
            weight.__dlpack__()
        self.assertIn("dltensor", repr(weight.__dlpack__(copy=True)))
        self.assertIn("dltensor_versioned", repr(weight.__dlpack__(max_version=(1, 0))))

    def test_errors_have_their_classes(self):
        with self.model.session() as session:
            for call, kind in ((lambda: session.step([1] * 100), eet.LimitError),
                               (lambda: session.step([500]), eet.ArgumentError),
                               (lambda: session.step("text"), eet.ArgumentError),
                               (lambda: eet.load("missing.eet", device="cpu"), OSError)):
                with self.assertRaises(kind) as raised:
                    call()
                self.assertTrue(raised.exception.code.startswith("EET_E_"))
        with self.assertRaises(eet.ClosedError):
            session.step([1])

    def test_pickles_open_the_same_file(self):
        with pickle.loads(pickle.dumps(self.model)) as again:
            self.assertEqual(again.digest, self.model.digest)

    def test_threads_share_a_model(self):
        with self.model.session() as session:
            expected = session.encode([1, 2, 3]).tolist()
        wrong = []

        def work():
            with self.model.session(threads=1) as own:
                for _ in range(10):
                    if own.encode([1, 2, 3]).tolist() != expected:
                        wrong.append(1)

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(wrong, [])

    def test_a_child_opens_sessions_of_its_own(self):
        with self.model.session() as session:
            expected = session.encode([1, 2, 3]).tolist()
            child = os.fork()
            if child == 0:
                status = 1
                try:
                    try:
                        session.encode([1])
                    except eet.StateError:
                        with self.model.session() as own:
                            status = 0 if own.encode([1, 2, 3]).tolist() == expected else 2
                finally:
                    os._exit(status)
            self.assertEqual(os.waitpid(child, 0)[1], 0)

    def test_ctrl_c_ends_a_generation(self):
        with eet.Generator(self.model) as generator:
            with contextlib.closing(generator.stream([1, 2, 3], ignore_eos=True)) as stream:
                self.assertEqual(next(stream).position, 3)
            previous = signal.signal(signal.SIGALRM, signal.default_int_handler)
            try:
                signal.setitimer(signal.ITIMER_REAL, 0.05)
                with self.assertRaises(KeyboardInterrupt):
                    while True:
                        generator.generate([1, 2, 3], ignore_eos=True)
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
                signal.signal(signal.SIGALRM, previous)
            self.assertEqual(len(generator.generate([1], max_new_tokens=2)[0].token_ids), 2)

    def test_operators_take_buffers(self):
        from eet import ops

        x = array.array("f", [1, 2, 3, 4])
        found = ops.layernorm(memoryview(x).cast("B").cast("f", [1, 4]), array.array("f", [1] * 4),
                              array.array("f", [0] * 4), eps=0.0)
        self.assertAlmostEqual(sum(found.tolist()[0]), 0, places=5)


if __name__ == "__main__":
    unittest.main()
