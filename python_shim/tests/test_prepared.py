"""Calls whose structs are kept: the same numbers and the same refusals as the longer way's, whatever
came before."""
import gc
import threading
import unittest
import weakref

import eet
import numpy

import support

try:
    import torch
except ImportError:
    torch = None


def longer(session, tokens, outputs=None, **how):
    """The same call by the way that keeps nothing."""
    rows = session._pack(tokens, None, None, None, None, how.get("sequence"))
    return session._run(eet._library.lib.eet_step, rows, outputs)


def forms():
    """Tokens of all kinds that are taken the short way."""
    found = [[5, 6, 7], numpy.array([5, 6, 7], "i4"), numpy.array([5, 6, 7], "i8"),
             numpy.array([[5, 6, 7], [1, 2, 3]], "i4"), numpy.array([[5, 6, 7], [1, 2, 3]])]
    if torch is not None:
        found += [torch.tensor([5, 6, 7]), torch.tensor([[5, 6, 7], [1, 2, 3]], dtype=torch.int32)]
    return found


class Kept(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.model = eet.load(support.model("gpt2_tiny"), device="cpu")

    @classmethod
    def tearDownClass(cls):
        cls.model.close()

    def setUp(self):
        self.session = self.model.session(max_sequences=3, threads=1)
        self.addCleanup(self.session.close)

    def clear(self):
        for row in range(3):
            self.session.trim(row)

    def test_structs_give_what_the_longer_way_gives(self):
        for tokens in forms():
            for outputs in (None, "hidden", ("lm", "last"), ["lm", ("hidden", "mean")],
                            eet.Output("lm", "first", dtype="f16")):
                expected = longer(self.session, tokens, outputs)
                self.clear()
                for _ in range(2):
                    found = self.session.step(tokens, outputs=outputs)
                    self.clear()
                    for one, other in zip(*((x if isinstance(x, list) else [x])
                                            for x in (found, expected))):
                        self.assertIs(type(one), type(other))
                        self.assertEqual(tuple(one.shape), tuple(other.shape))
                        self.assertEqual(str(one.dtype), str(other.dtype))
                        self.assertEqual(numpy.asarray(one).tobytes(),
                                         numpy.asarray(other).tobytes())
        self.assertGreater(len(self.session._prepared), 8)
        self.assertLessEqual(len(self.session._prepared), 16)

    def test_structs_read_the_array_of_each_call(self):
        for make in (lambda v: numpy.array(v), lambda v: numpy.array(v, "i4"), list):
            for ids in ([1], [2], [100]):
                expected = longer(self.session, ids, ("lm", "last"))
                self.clear()
                found = self.session.step(make(ids), outputs=("lm", "last"))
                self.clear()
                self.assertEqual(numpy.asarray(found).tobytes(), numpy.asarray(expected).tobytes())

    def test_structs_write_where_each_call_says(self):
        wide = numpy.zeros((4, 101), "f4")
        for row in range(4):
            found = self.session.step(numpy.array([row]), outputs=eet.Output("lm", out=wide[row:row + 1]))
            self.assertIs(found.base, wide)
            self.clear()
        for row in range(4):
            self.assertEqual(wide[row].tobytes(), numpy.asarray(
                longer(self.session, [row], "lm")).tobytes())
            self.clear()

    def test_a_sequence_may_be_another_each_time(self):
        for sequence in (2, 0, 2, 1):
            self.session.step(numpy.array([5]), sequence=sequence)
        self.assertEqual([self.session.length(row) for row in range(3)], [1, 1, 2])
        for sequence in (3, -1, 2**31, 2**32, 2**70):
            with self.assertRaises(eet.ArgumentError):
                self.session.step(numpy.array([5]), sequence=sequence)
        self.assertEqual([self.session.length(row) for row in range(3)], [1, 1, 2])

    def test_refusals_are_the_same_before_and_after(self):
        read_only = numpy.zeros((1, 101), "f4")
        read_only.flags.writeable = False
        bad = [(numpy.array([2**40]), None), ([2**40], None), ([[1], [2.5]], None),
               (numpy.array([1.5]), None), (numpy.array([], "i4"), None), ([], None),
               (numpy.array([500]), None), (numpy.array([1]), ("nohead",)),
               (numpy.array([1]), eet.Output("lm", out=read_only)),
               (numpy.array([1]), eet.Output("lm", out=numpy.zeros((1, 101), "f8"))),
               (numpy.array([1]), eet.Output("lm", out=numpy.zeros((1, 101), ">f4"))),
               (numpy.array([1]), eet.Output("lm", out=numpy.zeros((1, 202), "f4")[:, ::2])),
               (numpy.array([1]), eet.Output("lm", out=numpy.zeros((2, 101), "f4")))]
        for tokens, outputs in bad:
            said = []
            for _ in range(2):
                with self.assertRaises(eet.ArgumentError, msg=(tokens, outputs)) as raised:
                    self.session.step(tokens, outputs=outputs)
                said.append(str(raised.exception))
                self.session.step(numpy.array([1]), outputs=eet.Output(
                    "lm", out=numpy.zeros((1, 101), "f4")))
                self.session.step(numpy.array([1]))
                self.clear()
            with self.assertRaises(eet.ArgumentError) as raised:
                longer(self.session, tokens, outputs)
            self.assertEqual(said, [str(raised.exception)] * 2)

    def test_numbers_that_c_would_cut_are_refused(self):
        self.session.step([1, 2, 3])
        calls = [lambda n: self.session.trim(n), lambda n: self.session.trim(0, n),
                 lambda n: self.session.length(n), lambda n: self.session.fork(n, 1),
                 lambda n: self.session.fork(0, n), lambda n: self.session.export(0, n),
                 lambda n: self.session.source_set(n, None), lambda n: self.session.score([1], top=n),
                 lambda n: self.model.session(max_tokens=n), lambda n: self.model.session(threads=n),
                 lambda n: next(self.session.generate([1], max_new_tokens=n)),
                 lambda n: next(self.session.generate([1], top_k=n))]
        for call in calls:
            with self.assertRaises(eet.ArgumentError):
                call(2**32)
            for kind in (1.5, "x", b"x"):
                with self.assertRaises(TypeError):
                    call(kind)
        self.assertEqual([self.session.length(row) for row in range(2)], [3, 0])
        with eet.Generator(self.model) as generator:
            for count in (2, 2**31, 2**70):  # before there are lists of so many
                with self.assertRaises(eet.LimitError):
                    generator.generate([1], num_return_sequences=count, temperature=1.0)
        with self.assertRaises(eet.ArgumentError):
            self.session.step(numpy.array([[1, 2]]), attention_mask=numpy.array(1))
        with self.assertRaises(TypeError):
            self.model.fact(3)
        with self.assertRaises(eet.ArgumentError):
            self.session.step([1], outputs=[["lm"], []])

    def test_nothing_of_the_caller_is_kept(self):
        tokens, out = numpy.array([1], "i4"), numpy.zeros((1, 101), "f4")
        gone = [weakref.ref(tokens), weakref.ref(out)]
        self.session.step(tokens, outputs=eet.Output("lm", out=out))
        del tokens, out
        gc.collect()
        self.assertEqual([one() for one in gone], [None, None])

    def test_read_only_and_strided_ids_are_read(self):
        ids = numpy.array([5, 9, 6, 9, 7, 9], "i4")
        expected = self.session.step(ids[::2].copy())
        self.clear()
        self.assertEqual(self.session.step(ids[::2]).tobytes(), expected.tobytes())
        self.clear()
        fixed = ids[::2].copy()
        fixed.flags.writeable = False
        self.assertEqual(self.session.step(fixed).tobytes(), expected.tobytes())
        self.clear()
        with self.assertRaises(eet.ArgumentError):
            self.session.step(ids[::2].astype(">i4"))

    def test_many_ids_of_64_bits_go_the_longer_way(self):
        ids = numpy.arange(300) % 100
        with self.model.session(max_sequences=10, threads=1) as session:
            found = session.step(ids.reshape(10, 30), outputs=("lm", "last"))
            for row in range(10):
                session.trim(row)
            narrow = session.step(ids.reshape(10, 30).astype("i4"), outputs=("lm", "last"))
            self.assertEqual(found.tobytes(), narrow.tobytes())

    def test_threads_that_share_a_session_get_their_own(self):
        expected = {one: longer(self.session, [one], ("lm", "last")).tolist()
                    for one in range(8) if self.clear() is None}
        self.clear()
        wrong = []

        def work(one):
            for _ in range(50):
                found = self.session.encode(numpy.array([one]), outputs=("lm", "last"))
                if found.tolist() != expected[one]:
                    wrong.append(one)

        threads = [threading.Thread(target=work, args=(one,)) for one in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(wrong, [])


if __name__ == "__main__":
    unittest.main()
