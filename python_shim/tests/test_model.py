"""Models: facts, heads, tensors, errors, life."""
import gc
import os
import pickle
import shutil
import unittest

import eet
import numpy
import torch

import support


def resident():
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Facts(unittest.TestCase):
    def test_describe_the_model(self):
        with support.load("gpt2_tiny") as model:
            self.assertEqual((model.family, model.hidden, model.vocab_size, model.max_positions),
                             ("gpt2", 32, 101, 64))
            self.assertEqual((model.has_encoder, model.has_decoder, model.has_cross),
                             (False, True, False))
            self.assertEqual(model.config["dec.layers"], 2)
            self.assertIs(model.config["dec.pre_norm"], True)
            self.assertEqual(model.config["dec.act"], "gelu_tanh")
            self.assertEqual(model.config["dec.norm_eps"], 1e-5)
            self.assertNotIn("enc.layers", model.config)
            self.assertEqual(model.fact("enc.layers", 7), 7)
            with self.assertRaisesRegex(eet.ArgumentError, "enc.layers"):
                model.fact("enc.layers")

    def test_are_all_that_inspect_tells(self):
        for name in ("gpt2_tiny", "fs012_nmt", "bert_sequence"):
            told = eet.inspect(support.model(name))
            with eet.load(support.model(name)) as model:
                known = dict(model.config)
                for key, value in told["meta"].items():
                    if not isinstance(value, list):  # labels are the heads'
                        self.assertEqual(known[key], value, key)
                self.assertEqual(model.digest, "sha256:" + told["content_sha256"])
                self.assertEqual(model.weights_digest, "sha256:" + told["weights_sha256"])
                totals = told["totals"]
                self.assertEqual(len(model.tensors), totals["tensors"])
                self.assertEqual(model.parameters, totals["parameters"])
                self.assertEqual(model.weight_bytes, totals["bytes"])
                if name == "fs012_nmt":  # two tables of sines are no parameters
                    self.assertEqual(model.parameters, 40584)

    def test_heads_have_labels(self):
        with support.load("bert_sequence") as model:
            head = model.head("sequence")
            self.assertEqual(len(head.labels), head.width)
            self.assertIs(model.head(head.index), head)
            with self.assertRaisesRegex(eet.ArgumentError, "sequence"):
                model.head("lm")


class Tensors(unittest.TestCase):
    def test_are_the_checkpoint(self):
        from_torch = torch.load(os.path.join(support.ROOT, "fixtures/checkpoints/gpt2_tiny",
                                             "pytorch_model.bin"))
        with support.load("gpt2_tiny") as model:
            mine = model.tensors["dec.emb.pos"].numpy()
            numpy.testing.assert_array_equal(mine, from_torch["transformer.wpe.weight"].numpy())
            self.assertEqual(len(model.tensors), len(list(model.tensors)))
            with self.assertRaises(KeyError):
                model.tensors["nothing"]

    def test_are_mapped_and_read_only(self):
        with support.load("gpt2_tiny") as model:
            tensor = model.tensors["dec.emb.tok"]
            array = tensor.numpy()
            self.assertEqual(array.__array_interface__["data"], (tensor.pointer, True))
            with self.assertRaises(ValueError):
                array[0, 0] = 1
            self.assertTrue(tensor.memoryview().readonly)
            self.assertEqual(tensor.memoryview()[3, 4], array[3, 4])
            with open("/proc/self/maps", encoding="utf-8") as maps:
                for line in maps:
                    low, high = (int(part, 16) for part in line.split()[0].split("-"))
                    if low <= tensor.pointer < high:
                        self.assertIn("gpt2_tiny.eet", line)

    def test_outlive_the_model(self):
        model = support.load("gpt2_tiny")
        array = model.tensors["dec.emb.tok"].numpy()
        expected = array.copy()
        model.close()
        del model
        gc.collect()
        numpy.testing.assert_array_equal(array, expected)

    def test_of_bf16_show_their_bits(self):
        with support.load("gpt2_bf16") as model:
            tensor = model.tensors["dec.emb.tok"]
            self.assertEqual(tensor.dtype, "bf16")
            bits = tensor.view("u16").numpy()
            wide = (bits.astype("u4") << 16).view("f4")
            numpy.testing.assert_array_equal(wide, numpy.array(tensor.tolist(), "f4"))
            copy = tensor.torch(copy=True)
            self.assertIs(copy.dtype, torch.bfloat16)
            numpy.testing.assert_array_equal(copy.float().numpy(), wide)
            with self.assertRaisesRegex(TypeError, "bf16"):
                tensor.numpy()
            self.assertEqual(tensor.view("u8").shape, (tensor.nbytes,))
            with self.assertRaises(eet.ArgumentError):
                tensor.view("f32")


class Errors(unittest.TestCase):
    def test_have_a_class_a_code_and_a_path(self):
        with self.assertRaises(eet.FileError) as caught:
            eet.load("/nowhere.eet")
        self.assertIsInstance(caught.exception, OSError)
        self.assertEqual((caught.exception.code, caught.exception.path),
                         ("EET_E_IO", "/nowhere.eet"))
        self.assertNotIn("\n", str(caught.exception))

    def test_tell_the_byte_at_fault(self):
        path = os.path.join(support.FOLDER, "broken.eet")
        with open(support.model("gpt2_tiny"), "rb") as file:
            raw = bytearray(file.read())
        raw[4100] ^= 1
        with open(path, "wb") as file:
            file.write(raw)
        with self.assertRaises(eet.FormatError) as caught:
            eet.load(path, device="cpu")
        self.assertEqual(caught.exception.code, "EET_E_CORRUPT")
        self.assertIsInstance(caught.exception.offset, int)
        again = pickle.loads(pickle.dumps(caught.exception))
        self.assertEqual((str(again), again.code, again.offset, again.path),
                         (str(caught.exception), caught.exception.code,
                          caught.exception.offset, path))

    def test_full_verification_finds_a_bit_of_a_weight(self):
        path = os.path.join(support.FOLDER, "flipped.eet")
        with support.load("gpt2_tiny") as model:
            tensor = model.tensors["dec.norm.w"].numpy().tobytes()
        with open(support.model("gpt2_tiny"), "rb") as file:
            raw = bytearray(file.read())
        raw[raw.rindex(tensor[:64])] ^= 1
        with open(path, "wb") as file:
            file.write(raw)
        eet.load(path, device="cpu").close()
        with self.assertRaises(eet.FormatError):
            eet.load(path, device="cpu", verify="full")

    def test_of_arguments_are_value_errors(self):
        for bad in ({"device": "tpu"}, {"device": "cuda:x"}, {"dtype": "f13"},
                    {"verify": "much"}, {"dtype": "i32"}):
            with self.assertRaises(ValueError, msg=bad):
                eet.load(support.model("gpt2_tiny"), **{"device": "cpu", **bad})

    def test_of_conversion_are_of_both_classes(self):
        with self.assertRaises(eet.ConversionError) as caught:
            eet.convert("/nowhere", os.path.join(support.FOLDER, "x.eet"))
        self.assertIsInstance(caught.exception, eet.FileError)
        self.assertEqual(caught.exception.path, "/nowhere")
        with self.assertRaises(eet.ExistsError):
            eet.convert(os.path.join(support.ROOT, "fixtures/checkpoints/gpt2_tiny"),
                        support.model("gpt2_tiny"))

    def test_say_where_there_is_no_cuda(self):
        if "cuda" in eet.backends():
            self.skipTest("there is CUDA")
        with self.assertRaisesRegex(eet.DeviceError, "CUDA"):
            eet.load(support.model("gpt2_tiny"), device="cuda")
        self.assertEqual(support.load("gpt2_tiny").device, "cpu")


class Life(unittest.TestCase):
    def test_use_after_close_is_told(self):
        model = support.load("gpt2_tiny")
        session = model.session()
        model.close()
        model.close()
        self.assertTrue(model.closed)
        for use in (lambda: model.digest, lambda: model.heads, lambda: model.fact("dec.layers"),
                    lambda: model.config, lambda: model.tensors, model.session,
                    lambda: model.__enter__()):
            with self.assertRaises(eet.ClosedError):
                use()
        self.assertEqual(session.encode([1, 2]).shape, (2, 101))  # it has its own hold
        session.close()
        session.close()
        for use in (lambda: session.step([1]), lambda: session.length(0),
                    lambda: session.fork(0, 0), lambda: session.generate([1])):
            with self.assertRaises(eet.ClosedError):
                use()
        session.cancel()

    def test_a_model_is_the_same_from_memory(self):
        with open(support.model("gpt2_tiny"), "rb") as file:
            raw = file.read()
        with support.load("gpt2_tiny") as one, eet.load(raw, device="cpu") as other:
            self.assertEqual(one.digest, other.digest)
            session = other.session()
            other.close()
            gc.collect()
            self.assertEqual(session.encode([1, 2, 3]).tolist(),
                             one.session().encode([1, 2, 3]).tolist())
            with self.assertRaises(TypeError):
                pickle.dumps(other)

    def test_pickles_by_path_and_digest(self):
        path = os.path.join(support.FOLDER, "moving.eet")
        shutil.copy(support.model("gpt2_tiny"), path)
        model = eet.load(path, device="cpu", dtype="f16", threads=1)
        data = pickle.dumps(model)
        again = pickle.loads(data)
        self.assertEqual(again.digest, model.digest)
        self.assertEqual(again.threads, 1)
        os.replace(shutil.copy(support.model("gpt2_bf16"), path + ".new"), path)
        with self.assertRaisesRegex(eet.ArgumentError, "digest"):
            pickle.loads(data)
        with self.assertRaises(TypeError):
            pickle.dumps(model.session())

    def test_a_thousand_opens_leak_nothing(self):
        def once():
            with support.load("gpt2_tiny") as model, model.session(threads=1) as session:
                session.step([1, 2, 3])
                array = model.tensors["dec.emb.tok"].numpy()
                array = torch.from_dlpack(model.tensors["dec.norm.w"].copy())
            del array

        for _ in range(100):
            once()
        gc.collect()
        before = resident()
        for _ in range(1000):
            once()
        gc.collect()
        self.assertLess(resident() - before, 2 << 20)

    def test_dropping_all_closes_the_file(self):
        def open_maps():
            with open("/proc/self/maps", encoding="utf-8") as maps:
                return maps.read().count("bert_token.eet")

        model = support.load("bert_token")
        session = model.session()
        self.assertGreater(open_maps(), 0)
        del model, session
        gc.collect()
        self.assertEqual(open_maps(), 0)


if __name__ == "__main__":
    unittest.main()
