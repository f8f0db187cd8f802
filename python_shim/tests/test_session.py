"""Sessions against the real libraries' numbers, and their life: threads, forks, signals."""
import os
import signal
import threading
import time
import unittest

import eet
import numpy

import support


def near(found, expected, tolerance=1e-4):
    found = numpy.asarray(found, "f8")
    scale = numpy.maximum(1, numpy.abs(expected).max(-1, keepdims=True))
    return bool((numpy.abs(found - expected) <= tolerance * scale).all())


class Numbers(unittest.TestCase):
    def test_are_those_of_the_real_library(self):
        gold = support.golden("gpt2_tiny")
        with support.load("gpt2_tiny") as model, model.session() as session:
            lm, hidden = session.encode(gold["tokens"], start=gold["start"],
                                        outputs=["lm", "hidden"])
            self.assertTrue(near(lm, gold["lm"]))
            self.assertTrue(near(hidden, gold["hidden"]))
        gold = support.golden("bert_tiny")
        with support.load("bert_tiny") as model, model.session() as session:
            pooler, hidden = session.encode(gold["tokens"], start=gold["start"],
                                            types=gold["types"], outputs=["pooler", "hidden"])
            self.assertTrue(near(pooler, gold["pooler"]))
            self.assertTrue(near(hidden, gold["hidden"]))

    def test_of_steps_are_those_of_one_pass(self):
        gold = support.golden("gpt2_tiny")
        rows = support.rows(gold)
        with support.load("gpt2_tiny") as model:
            session = model.session(max_sequences=len(rows))
            for row, ids in enumerate(rows):
                parts = [session.step(ids[:1], sequence=row)]
                parts += [session.step(ids[i:i + 2], sequence=row) for i in range(1, len(ids), 2)]
                found = numpy.concatenate([part.numpy() for part in parts])
                first = gold["start"][row]
                self.assertTrue(near(found, gold["lm"][first:first + len(ids)]))
                self.assertEqual(session.length(row), len(ids))

    def test_of_translation_are_those_of_the_real_library(self):
        gold = support.golden("fs012_nmt")
        sources, targets = support.rows(gold, "source_tokens", "source_start"), support.rows(gold)
        with support.load("fs012_nmt") as model:
            session = model.session(max_sequences=3, max_sources=3)
            session.source(sources)
            lm = session.step(targets, source=range(3), outputs="lm")
            self.assertTrue(near(lm.numpy(), gold["lm"]))
            for row in range(3):
                session.trim(row)
                session.source_set(row, None)
            with self.assertRaises(eet.ArgumentError):
                session.step(targets[0], source=0)
            begins = gold["source_start"]
            for row in range(3):
                states = gold["encoder"][begins[row]:begins[row + 1]]
                session.source_set(row, states[::-1][::-1])
            lm = session.step(targets, source=numpy.arange(3), outputs="lm")
            self.assertTrue(near(lm.numpy(), gold["lm"]))

    def test_of_scores_are_the_softmax(self):
        gold = support.golden("gpt2_tiny")
        with support.load("gpt2_tiny") as model:
            session = model.session(max_sequences=8)
            found = session.score(gold["tokens"], start=gold["start"], top=3)
            lm = gold["lm"] - gold["lm"].max(-1, keepdims=True)
            logs = lm - numpy.log(numpy.exp(lm).sum(-1, keepdims=True))
            for row, (a, b) in enumerate(zip(gold["start"], gold["start"][1:])):
                for at in range(a, b - 1):
                    self.assertAlmostEqual(found.log_prob[at], logs[at, gold["tokens"][at + 1]],
                                           places=3)
                    self.assertEqual(found.top_tokens[at, 0], gold["lm"][at].argmax())
                self.assertTrue(numpy.isnan(found.log_prob[b - 1]), row)
            session.trim(0)
            only = session.score([1, 2, 3], [-1, 5, -1])
            self.assertEqual([value == value for value in only.log_prob.tolist()],
                             [False, True, False])

    def test_of_forks_go_on_alone(self):
        with support.load("gpt2_tiny") as model:
            session = model.session(max_sequences=3)
            session.step([1, 2, 3])
            session.fork(0, 2)
            one = session.step([4], sequence=0).tolist()
            other = session.step([4], sequence=2).tolist()
            self.assertEqual(one, other)
            session.trim(2, 1)
            self.assertEqual((session.length(0), session.length(1), session.length(2)), (4, 0, 1))
            with self.assertRaises(eet.ArgumentError):
                session.length(3)

    def test_of_the_16_bit_computation_are_near(self):
        gold = support.golden("gpt2_tiny")
        for dtype in ("f16", "bf16"):
            with support.load("gpt2_tiny", dtype=dtype) as model:
                lm = model.session().encode(gold["tokens"], start=gold["start"])
                distance = numpy.linalg.norm(lm - gold["lm"]) / numpy.linalg.norm(gold["lm"])
                self.assertLess(distance, 4e-2)


class Bound(unittest.TestCase):
    def test_steps_are_those_of_step(self):
        gold = support.golden("gpt2_tiny")
        ids = support.rows(gold)[0]
        with support.load("gpt2_tiny") as model, model.session() as session:
            token = numpy.zeros(1, "i4")
            bound = session.bind(token, outputs=[("lm", "last"), "hidden"])
            for i, value in enumerate(ids):
                token[0] = value
                lm, hidden = bound()
                self.assertIs(lm, bound.results[0])
                self.assertTrue(near(lm, gold["lm"][i:i + 1]))
                self.assertTrue(near(hidden, gold["hidden"][i:i + 1]))
            self.assertEqual(session.length(0), len(ids))
            token[0] = 999
            with self.assertRaises(eet.ArgumentError):
                bound()
            with self.assertRaises(eet.LimitError):
                token[0] = 1
                for _ in range(100):
                    bound()
            session.close()
            with self.assertRaises(eet.ClosedError):
                bound()

    def test_arrays_are_read_where_they_lie(self):
        with support.load("gpt2_tiny") as model, model.session() as session:
            for bad in ([1], numpy.zeros(1, "i8"), numpy.zeros((2, 4), "i4")[:, ::2]):
                with self.assertRaises(eet.ArgumentError):
                    session.bind(bad)


class Limits(unittest.TestCase):
    def test_leave_the_session_as_it_was(self):
        with support.load("gpt2_tiny") as model:
            session = model.session(max_tokens=8)
            session.step([1, 2, 3])
            with self.assertRaisesRegex(eet.LimitError, "8"):
                session.step([1] * 6)
            for bad in ({"sequence": 1}, {"sequence": [-1]}, {"positions": [99, 1]},
                        {"sequence": [0, 0]}, {"types": [0]}, {"source": 4}):
                with self.assertRaises(eet.Error, msg=bad):
                    session.step([1, 2], **bad)
            self.assertEqual(session.length(0), 3)
            session.step([1] * 5)

    def test_of_memory_are_told_before(self):
        with support.load("gpt2_tiny") as model:
            need = model.session(max_sequences=2).memory()
            self.assertGreaterEqual(need["weights"], model.weight_bytes)
            self.assertGreater(model.session(max_sequences=4).memory()["cache"], need["cache"])
            with self.assertRaises((eet.LimitError, eet.OutOfMemoryError, eet.ArgumentError)):
                model.session(max_sequences=2**31 - 1, max_tokens=64)
            for bad in ({"max_sequences": -1}, {"cache_dtype": "i8"}, {"threads": -4}):
                with self.assertRaises(eet.Error, msg=bad):
                    model.session(**bad)

    def test_of_models_without_a_part_are_told(self):
        with support.load("bert_tiny") as model:
            with self.assertRaises(eet.UnsupportedError):
                model.session().step([1, 2])
            with self.assertRaises(eet.Error):
                model.session().generate([1, 2])


class Threads(unittest.TestCase):
    def test_8_on_one_model_give_the_serial_results(self):
        gold = support.golden("gpt2_tiny")
        rows = support.rows(gold)
        with support.load("gpt2_tiny") as model:
            def work(seed):
                with eet.Generator(model, threads=1, max_batch_size=len(rows)) as generator:
                    done = [one.token_ids for one in generator.generate(
                        rows, max_new_tokens=8, temperature=0.9, seed=seed)]
                    scores = generator.forward(rows).tolist()
                return done, scores

            serial = [work(seed) for seed in range(8)]
            found = [None] * 8

            def thread(i):
                for _ in range(5):
                    found[i] = work(i)

            threads = [threading.Thread(target=thread, args=(i,)) for i in range(8)]
            for one in threads:
                one.start()
            for one in threads:
                one.join()
            self.assertEqual(found, serial)

    def test_on_one_session_wait_for_each_other(self):
        with support.load("gpt2_tiny") as model:
            session = model.session()
            expected = session.encode([1, 2, 3]).tolist()
            wrong = []

            def thread():
                for _ in range(50):
                    if session.encode([1, 2, 3]).tolist() != expected:
                        wrong.append(1)

            threads = [threading.Thread(target=thread) for _ in range(4)]
            for one in threads:
                one.start()
            for one in threads:
                one.join()
            self.assertEqual(wrong, [])

    def test_run_while_the_library_computes(self):
        model = eet.load(support.slow_model(), device="cpu")
        session = model.session(threads=1, max_batch_tokens=4096)
        ticks = []

        def thread():
            session.encode([1] * 1500, outputs=("lm", "last"))

        one = threading.Thread(target=thread)
        one.start()
        while one.is_alive():
            ticks.append(1)
            time.sleep(0.002)
        self.assertGreater(len(ticks), 5)  # the lock of the interpreter was not held

    def test_may_close_and_cancel(self):
        model = eet.load(support.slow_model(), device="cpu")
        session = model.session(threads=1, max_batch_tokens=4096)
        caught = []

        def thread():
            try:
                session.encode([1] * 4000, outputs=("lm", "last"))
            except eet.Error as error:
                caught.append(error)

        one = threading.Thread(target=thread)
        one.start()
        time.sleep(0.05)
        session.cancel()
        session.close()
        one.join()
        self.assertIsInstance(caught[0], eet.CancelledError)
        self.assertEqual(caught[0].code, "EET_E_CANCELLED")


class Forks(unittest.TestCase):
    def child(self, function):
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                function()
                status = 0
            finally:
                os._exit(status)
        self.assertEqual(os.waitpid(pid, 0)[1], 0)

    def test_leave_sessions_to_the_parent_and_models_to_both(self):
        model = support.load("gpt2_tiny")
        session = model.session(threads=2)
        expected = session.step([1, 2, 3]).tolist()

        def inside():
            for use in (lambda: session.step([4]), lambda: session.fork(0, 0),
                        lambda: session.generate([1])):
                try:
                    use()
                    raise SystemExit
                except eet.StateError:
                    pass
            assert model.session(threads=2).step([1, 2, 3]).tolist() == expected
            session.close()
            model.close()

        self.child(inside)
        self.assertEqual(session.length(0), 3)
        session.step([4])

    def test_while_another_thread_holds_a_lock(self):
        model = support.load("gpt2_tiny")
        session = model.session()
        held, done = threading.Event(), threading.Event()

        def holder():
            with session._lock:
                held.set()
                done.wait()

        one = threading.Thread(target=holder)
        one.start()
        held.wait()
        signal.alarm(30)

        def inside():
            try:
                session.step([1])
            except eet.StateError:
                return
            raise SystemExit

        self.child(inside)
        signal.alarm(0)
        done.set()
        one.join()


class Signals(unittest.TestCase):
    """Ctrl-C."""

    def interrupted(self, work, after=0.15):
        """Seconds from the signal to KeyboardInterrupt."""
        sent = []

        def send():
            sent.append(time.monotonic())
            os.kill(os.getpid(), signal.SIGINT)

        timer = threading.Timer(after, send)
        timer.start()
        try:
            with self.assertRaises(KeyboardInterrupt):
                work()
            return time.monotonic() - sent[0]
        finally:
            timer.cancel()
            timer.join()

    def test_ends_a_long_prompt(self):
        with eet.Generator(support.slow_model(), device="cpu", max_seq_len=4096) as generator:
            self.assertLess(self.interrupted(lambda: generator.generate([1] * 4000)), 0.2)
            with eet.Generator(support.slow_model(), device="cpu") as fresh:
                ids = [5, 6, 7]
                self.assertEqual(generator.generate(ids, max_new_tokens=4)[0].token_ids,
                                 fresh.generate(ids, max_new_tokens=4)[0].token_ids)

    def test_ends_many_steps_and_a_stream(self):
        with eet.Generator(support.slow_model(), device="cpu", max_seq_len=4096) as generator:
            def steps():
                generator.generate([1, 2], ignore_eos=True)

            def stream():
                for _ in generator.stream([1, 2], ignore_eos=True):
                    pass

            self.assertLess(self.interrupted(steps), 0.2)
            self.assertLess(self.interrupted(stream), 0.2)
            generator.generate([1, 2], max_new_tokens=2)

    def test_ends_a_beam_search(self):
        with eet.Generator(support.slow_model(), device="cpu", max_seq_len=1024,
                           num_beams=4) as generator:
            seconds = self.interrupted(lambda: generator.generate(
                [1, 2], num_beams=4, max_new_tokens=1000, ignore_eos=True))
            self.assertLess(seconds, 0.2)
            generator.generate([1, 2], max_new_tokens=2)

    def test_ends_an_encoding(self):
        with eet.load(support.slow_model(), device="cpu") as model, model.session(
                max_batch_tokens=4096) as session:
            self.assertLess(self.interrupted(
                lambda: session.encode([1] * 4000, outputs=("lm", "last"))), 0.2)
            session.encode([1, 2, 3])


if __name__ == "__main__":
    unittest.main()
