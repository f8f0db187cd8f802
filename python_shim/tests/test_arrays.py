"""Arrays in and out: every kind gives the same numbers, without copies where memory allows."""
import array
import ctypes
import gc
import unittest
import weakref

import eet
import numpy
import torch
from eet import _arrays

import support

IDS = [[5, 6, 7, 8], [9, 10, 11, 12]]


class Producer:
    """Nothing but DLPack."""

    def __init__(self, data, versions=False):
        self.data, self.versions = data, versions

    def __dlpack_device__(self):
        return self.data.__dlpack_device__()

    def __dlpack__(self, **how):
        if not self.versions and "max_version" in how:
            raise TypeError("unexpected keyword argument 'max_version'")
        how.pop("max_version", None)
        return self.data.__dlpack__(**how)


class Interface:
    """Nothing but an array interface."""

    def __init__(self, data):
        self.data = data
        self.__array_interface__ = data.__array_interface__


class In(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.model = support.load("gpt2_tiny")
        cls.session = cls.model.session()
        cls.expected = cls.session.encode(numpy.array(IDS, "i4"))

    def same(self, ids, shape=None):
        found = self.session.encode(ids)
        values = numpy.array(found.tolist(), "f4").reshape(2, 4, 101)
        numpy.testing.assert_array_equal(values, self.expected)
        if shape is not None:
            self.assertEqual(tuple(found.shape), shape)

    def test_lists_and_tuples(self):
        self.same(IDS, (8, 101))
        self.same(tuple(map(tuple, IDS)))
        self.same([range(5, 9), range(9, 13)])

    def test_numpy_of_every_integer_type(self):
        for code in "i1 i2 i4 i8 u1 u2 u4 u8".split():
            self.same(numpy.array(IDS, code), (2, 4, 101))

    def test_numpy_of_any_layout(self):
        self.same(numpy.asfortranarray(numpy.array(IDS, "i4")))
        wide = numpy.zeros((4, 8), "i8")
        wide[::2, ::2] = IDS
        self.same(wide[::2, ::2])
        self.same(numpy.array(IDS, "i4")[::-1][::-1])
        self.same(numpy.array(IDS, ">i4").astype("i4"))

    def test_torch_of_every_integer_type(self):
        for dtype in (torch.int8, torch.uint8, torch.int16, torch.int32, torch.int64):
            found = self.session.encode(torch.tensor(IDS, dtype=dtype))
            self.assertIsInstance(found, torch.Tensor)
            numpy.testing.assert_array_equal(found.numpy(), self.expected)
        self.same(torch.tensor(IDS).t().contiguous().t())

    def test_rows_of_arrays(self):
        found = self.session.encode([numpy.array(row) for row in IDS])
        self.assertIsInstance(found, numpy.ndarray)
        self.same([numpy.array(row) for row in IDS], (8, 101))
        self.assertIsInstance(self.session.encode([torch.tensor(IDS[0])]), torch.Tensor)

    def test_dlpack(self):
        self.same(Producer(torch.tensor(IDS)))
        self.same(Producer(numpy.array(IDS, "i4")))
        self.same(Producer(torch.tensor(IDS, dtype=torch.int32).t().contiguous().t()))

    def test_array_interface(self):
        self.same(Interface(numpy.array(IDS, "i8")))
        self.same(Interface(numpy.array(IDS, "i2")[:, ::-1][:, ::-1]))

    def test_buffers(self):
        flat = [value for row in IDS for value in row]
        for made in (array.array("i", flat), array.array("q", flat), array.array("B", flat),
                     (ctypes.c_int32 * 8)(*flat), bytearray(flat)):
            found = self.session.encode(made, start=[0, 4, 8])
            numpy.testing.assert_array_equal(found.numpy().reshape(2, 4, 101), self.expected)
        self.same(memoryview(array.array("i", flat)).cast("B").cast("i", [2, 4]))

    def test_results_of_ours(self):
        made, pointer = _arrays.empty("eet", (2, 4), _arrays.DTYPES["i32"])
        _arrays.fill(pointer, [value for row in IDS for value in row])
        self.same(made)

    def test_int32_is_read_where_it_lies(self):
        ids = numpy.array(IDS, "i4")
        self.assertEqual(_arrays.ids(ids, "x").pointer, ids.__array_interface__["data"][0])
        ids = torch.tensor(IDS, dtype=torch.int32)
        self.assertEqual(_arrays.ids(ids, "x").pointer, ids.data_ptr())
        self.assertEqual(_arrays.ids(Producer(ids), "x").pointer, ids.data_ptr())
        flat = array.array("i", IDS[0])
        self.assertEqual(_arrays.ids(flat, "x").pointer, flat.buffer_info()[0])

    def test_what_is_no_id_is_refused(self):
        for bad in ([1.5], [[1, "a"]], ["1"], [None], "123", b"123", {1: 2}, numpy.array([1.0]),
                    torch.tensor([1.0]), [2**40], numpy.array([2**40]), torch.tensor([2**40]),
                    numpy.array([-2**40]), numpy.array([2**32 + 5], "u8"), numpy.zeros((1, 1, 1), int),
                    numpy.array(["a"]), numpy.array([object()]), [], [[]], [[1], []],
                    numpy.zeros((2, 0), "i4"), torch.tensor(3), numpy.array([1 + 0j]), object(), 5,
                    torch.tensor([1]).to_sparse()):
            with self.assertRaises((ValueError, TypeError), msg=repr(bad)):
                self.session.encode(bad)
            with self.assertRaises((ValueError, TypeError), msg=repr(bad)):
                self.session.encode([1, 2], types=bad)
        for bad in ([0, 1], [1, 2], [0, 2, 1], [0, 0, 2], [0, 3], [], [0], [0, 2**33]):
            with self.assertRaises(ValueError, msg=repr(bad)):
                self.session.encode([1, 2], start=bad)
        self.same(IDS)


class Masks(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.model = support.load("bert_tiny")
        cls.session = cls.model.session()

    def test_keep_what_is_1_wherever_it_stands(self):
        random = numpy.random.default_rng(3)
        for shape in ((1, 1), (1, 7), (3, 5), (5, 9)):
            for _ in range(6):
                ids = random.integers(0, 90, shape)
                mask = random.integers(0, 2, shape)
                mask[:, random.integers(0, shape[1])] = 1
                rows = [row[keep == 1].tolist() for row, keep in zip(ids, mask)]
                packed = self.session.encode(rows, outputs="hidden").numpy()
                for given in (mask, mask.tolist(), torch.tensor(mask), mask.astype(bool),
                              mask.astype("f4")):
                    found = self.session.encode(ids, attention_mask=given, outputs="hidden")
                    numpy.testing.assert_array_equal(found[mask == 1], packed)
                    self.assertFalse(found[mask == 0].any())
                types = random.integers(0, 2, shape)
                found = self.session.encode(ids.tolist(), attention_mask=mask, types=types,
                                            outputs="hidden")
                packed = self.session.encode(rows, types=[t[k == 1].tolist() for t, k in
                                                          zip(types, mask)], outputs="hidden")
                numpy.testing.assert_array_equal(found.numpy()[mask == 1], packed.numpy())

    def test_of_a_row_are_flat(self):
        found = self.session.encode([1, 2, 3], attention_mask=[0, 1, 1], outputs="hidden")
        self.assertEqual(found.shape, (1, 3, 32))

    def test_that_do_not_fit_are_refused(self):
        ids = numpy.array(IDS)
        for bad in (numpy.ones((2, 3), int), numpy.ones((2, 4, 4), int), numpy.zeros((2, 4), int),
                    numpy.full((2, 4), 2), numpy.ones(8, int).reshape(4, 2), [[1, 1, 1, 1]],
                    -numpy.ones((2, 4)), [[1, 1, 1, 1], [0, 0, 0, 0]]):
            with self.assertRaises(ValueError, msg=repr(bad)):
                self.session.encode(ids, attention_mask=bad)
        with self.assertRaises(ValueError):
            self.session.encode([1, 2], start=[0, 2], attention_mask=[1, 1])


class Out(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.model = support.load("gpt2_tiny")
        cls.session = cls.model.session()

    def test_goes_into_the_callers_memory(self):
        ids = numpy.array(IDS)
        expected = self.session.encode(ids)
        for out in (numpy.empty((2, 4, 101), "f4"), torch.empty(2, 4, 101), numpy.empty(808, "f4"),
                    array.array("f", bytes(3232)), (ctypes.c_float * 808)()):
            found = self.session.encode(ids, outputs=eet.Output(0, out=out))
            self.assertIs(found, out)
            numpy.testing.assert_array_equal(numpy.asarray(found).reshape(2, 4, 101), expected)

    def test_in_16_bits(self):
        ids = numpy.array(IDS)
        expected = self.session.encode(ids)
        half = self.session.encode(ids, outputs=eet.Output(0, dtype="f16"))
        numpy.testing.assert_array_equal(half, expected.astype("f2"))
        brain = self.session.encode(torch.tensor(IDS), outputs=eet.Output(0, dtype=torch.bfloat16))
        numpy.testing.assert_array_equal(brain.float().numpy(),
                                         torch.tensor(expected).bfloat16().float().numpy())
        ours = self.session.encode(ids, outputs=eet.Output(0, dtype="bf16"))
        self.assertIsInstance(ours, eet.Tensor)
        bits = numpy.zeros((2, 4, 101), "u2")
        self.session.encode(ids, outputs=eet.Output(0, dtype="bf16", out=bits))
        numpy.testing.assert_array_equal(bits, ours.view("u16").numpy())

    def test_that_does_not_fit_is_refused(self):
        read_only = numpy.zeros((2, 4, 101), "f4")
        read_only.flags.writeable = False
        for bad in (numpy.zeros((2, 4, 100), "f4"), numpy.zeros((2, 4, 101)), read_only, [0.0] * 808,
                    numpy.zeros((2, 4, 202), "f4")[:, :, ::2], self.model.tensors["dec.emb.tok"],
                    bytes(3232), torch.zeros(2, 4, 101, dtype=torch.float16)):
            with self.assertRaises((ValueError, TypeError)):
                self.session.encode(numpy.array(IDS), outputs=eet.Output(0, out=bad))

    def test_is_never_the_sessions_own_memory(self):
        one = self.session.encode(IDS)
        before = one.tolist()
        other = self.session.encode([[1, 1, 1, 1], [2, 2, 2, 2]])
        self.assertNotEqual(one.pointer, other.pointer)
        self.assertEqual(one.tolist(), before)

    def test_takes_and_lists_of_outputs(self):
        first, last, mean, given = self.session.encode(
            numpy.array(IDS), outputs=[("hidden", "first"), ("lm", "last"), ("hidden", "mean"),
                                       ("lm", None, [1, 6])])
        every, hidden = self.session.encode(numpy.array(IDS), outputs=[0, "hidden"])
        numpy.testing.assert_array_equal(first, hidden[:, 0])
        numpy.testing.assert_array_equal(last, every[:, -1])
        numpy.testing.assert_allclose(mean, hidden.mean(1), atol=1e-5)
        numpy.testing.assert_array_equal(given, every.reshape(8, 101)[[1, 6]])
        self.assertEqual(self.session.encode([1], outputs=[]), [])
        for bad in ("nothing", 7, ("lm", "middle"), ("lm", "given"), ("lm", None, [9]),
                    ("lm", None, None, "i32"), True):
            with self.assertRaises(ValueError, msg=repr(bad)):
                self.session.encode([1, 2], outputs=bad)


class DLPack(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.model = support.load("gpt2_tiny")
        cls.weight = cls.model.tensors["dec.emb.tok"]

    def result(self):
        return self.model.session().encode([1, 2, 3])

    def test_torch_and_numpy_share_the_memory(self):
        result = self.result()
        shared = torch.from_dlpack(result)
        self.assertEqual(shared.data_ptr(), result.pointer)
        self.assertEqual(numpy.from_dlpack(result).__array_interface__["data"][0], result.pointer)
        expected = result.tolist()
        del result
        gc.collect()
        self.assertEqual(shared.tolist(), expected)
        shared[0, 0] = 3

    def test_weights_are_given_read_only_or_not_at_all(self):
        with self.assertRaisesRegex(BufferError, "read-only"):
            torch.from_dlpack(self.weight)
        with self.assertRaises(BufferError):
            self.weight.__dlpack__()
        capsule = self.weight.__dlpack__(max_version=(1, 0))
        self.assertIn("dltensor_versioned", repr(capsule))
        copied = torch.utils.dlpack.from_dlpack(self.weight.__dlpack__(copy=True))
        numpy.testing.assert_array_equal(copied.numpy(), self.weight.numpy())
        self.assertNotEqual(copied.data_ptr(), self.weight.pointer)

    def test_torch_that_takes_versions_gets_no_weights(self):
        newer = {"__name__": "torch.utils.dlpack"}  # torch 2.9 and later asks like this
        exec("def from_dlpack(x): return x.__dlpack__(dl_device=None, copy=None, "
             "max_version=(1, 0))", newer)
        with self.assertRaisesRegex(BufferError, "read-only"):
            newer["from_dlpack"](self.weight)
        newer["from_dlpack"](self.weight.copy())
        other = {"__name__": "torchlike"}
        exec("def from_dlpack(x): return x.__dlpack__(max_version=(1, 0))", other)
        other["from_dlpack"](self.weight)

    def test_the_read_only_flag_is_read_too(self):
        class Versions:
            def __dlpack__(self, **how):
                return DLPack.weight.__dlpack__(max_version=(1, 0))

        seen = _arrays.view(Versions())
        self.assertTrue(seen.readonly)
        self.assertEqual((seen.pointer, seen.shape), (self.weight.pointer, self.weight.shape))

    def test_capsules_nobody_took_are_freed(self):
        def resident():
            with open("/proc/self/statm", encoding="ascii") as file:
                return int(file.read().split()[1])

        made = _arrays.empty("eet", (1 << 18,), _arrays.DTYPES["f32"])[0]
        for i in range(300):
            if i == 100:
                before = resident()
            made.copy().__dlpack__()
            made.copy().__dlpack__(max_version=(1, 0))
            torch.from_dlpack(made.copy())
        self.assertLess(resident() - before, 2048)

    def test_a_producers_array_lives_as_long_as_its_view(self):
        data = torch.tensor(IDS)
        seen = _arrays.view(Producer(data))
        watched = weakref.ref(data)
        del data
        gc.collect()
        self.assertIsNotNone(watched())
        self.assertEqual(seen.flat(), [value for row in IDS for value in row])
        del seen
        gc.collect()
        self.assertIsNone(watched())

    def test_other_devices_and_types_are_told(self):
        with self.assertRaises(BufferError):
            self.result().__dlpack__(dl_device=(2, 0))
        self.assertEqual(self.result().__dlpack_device__(), (1, 0))

        class Elsewhere:
            __cuda_array_interface__ = {"shape": (2,), "typestr": "<i4", "data": (4096, False),
                                        "version": 3}

        with self.assertRaisesRegex(eet.UnsupportedError, "cuda"):
            self.model.session().encode(Elsewhere())

        class Broken:
            def __dlpack__(self, **how):
                return 7

        with self.assertRaises(ValueError):
            self.model.session().encode(Broken())
        with self.assertRaises(ValueError):
            self.model.session().encode(Producer(torch.tensor([1 + 2j])))

    def test_gradients_are_no_obstacle_to_reading(self):
        hidden = torch.zeros(3, 24, requires_grad=True)
        model = support.load("fs012_nmt")
        model.session().source_set(0, hidden)


if __name__ == "__main__":
    unittest.main()
