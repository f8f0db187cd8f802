"""test_against.py - eet-verify --against: a file's weights are those of its checkpoint, or it says
where they are not."""
import json
import os
import struct
import subprocess
import tempfile
import unittest
from pathlib import Path

BIN = Path(os.environ["EET_BIN"])
CHECKPOINTS = Path("fixtures/checkpoints")


def run(name, *arguments):
    """Exit code, standard output, standard error."""
    told = subprocess.run([BIN / name, *arguments], capture_output=True, text=True, check=False)
    return told.returncode, told.stdout, told.stderr


def change_value(path, name, index, change):
    """Adds `change` to a float32 of a safetensors file; (old, new)."""
    data = bytearray(path.read_bytes())
    length = struct.unpack("<Q", data[:8])[0]
    tensor = json.loads(data[8 : 8 + length])[name]
    assert tensor["dtype"] == "F32"
    at = 8 + length + tensor["data_offsets"][0] + 4 * index
    old = struct.unpack_from("<f", data, at)[0]
    struct.pack_into("<f", data, at, old + change)
    path.write_bytes(data)
    return old, struct.unpack_from("<f", data, at)[0]


class Against(unittest.TestCase):
    """Each in a folder of its own."""

    def setUp(self):
        place = tempfile.TemporaryDirectory()
        self.addCleanup(place.cleanup)
        self.place = Path(place.name)
        self.output = self.place / "x.eet"

    def convert(self, source, *options):
        code, _, said = run("eet-convert", source, *options, "--force", "-o", self.output)
        self.assertEqual(code, 0, said)

    def copy(self, name, file="model.safetensors"):
        """A checkpoint of one file that can be changed."""
        folder = self.place / name
        folder.mkdir()
        for part in ("config.json", file):
            (folder / part).write_bytes((CHECKPOINTS / name / part).read_bytes())
        return folder

    def verify(self, source, *options):
        return run("eet-verify", self.output, "--against", source, *options)

    def test_every_checkpoint_is_equal_to_its_file_in_every_dtype(self):
        for source in sorted(CHECKPOINTS.iterdir()):
            for dtype in ("keep", "f16", "bf16"):
                self.convert(source, "--dtype", dtype)
                code, said, error = self.verify(source)
                self.assertEqual((code, error), (0, ""), f"{source} {dtype}")
                self.assertIn("the checkpoint's weights", said)

    def test_any_container_of_the_same_weights_will_do(self):
        folder = CHECKPOINTS / "bert_mlm"
        self.convert(folder / "model.safetensors")
        for file in ("pytorch_model.bin", "model.safetensors"):
            self.assertEqual(self.verify(folder / file)[0], 0)

    def test_one_value_that_differs_is_found(self):
        folder = self.copy("gpt2_untied")
        self.convert(folder)
        name = "transformer.h.1.mlp.c_fc.weight"  # (24, 96), turned in the file
        old, new = change_value(folder / "model.safetensors", name, 96 * 2 + 5, 0.25)
        code, said, error = self.verify(folder)
        self.assertEqual((code, said), (1, ""))
        first = f"number {24 * 5 + 2}, {old:.9g}, in the checkpoint {new:.9g}"
        self.assertIn('"dec.0001.ffn.fc1.w": 1 of 2304 values differ, by 0.25 at most', error)
        self.assertIn(first, error)
        code, said, _ = self.verify(folder, "--json")
        self.assertEqual(code, 1)
        against = json.loads(said)["files"][0]["against"]
        self.assertEqual((against["equal"], against["differing"]), (False, 1))
        row = next(row for row in against["tensors"] if row["is"] != "equal")
        self.assertEqual((row["name"], row["differing"]), ("dec.0001.ffn.fc1.w", 1))
        self.assertEqual(row["first"], {"index": 122, "file": old, "checkpoint": new})
        self.assertAlmostEqual(row["max_difference"], 0.25, 6)

    def test_tolerances_are_absolute_and_relative(self):
        folder = self.copy("gpt2_untied")
        self.convert(folder)
        change_value(folder / "model.safetensors", "transformer.ln_f.weight", 3, 0.01)
        for options, code in [
            (["--atol", "0.011"], 0),
            (["--atol", "0.009"], 1),
            (["--rtol", "0.1"], 0),
            (["--rtol", "0.0001"], 1),
            (["--atol", "0"], 1),
            ([], 1),
        ]:
            self.assertEqual(self.verify(folder, *options)[0], code, options)

    def test_what_rounds_to_the_same_number_is_no_difference(self):
        folder = self.copy("gpt2_untied")
        self.convert(folder, "--dtype", "bf16")
        file = folder / "model.safetensors"
        for change, code in [(1e-7, 0), (0.05, 1)]:
            old, new = change_value(file, "transformer.ln_f.weight", 0, change)
            self.assertNotEqual(old, new)
            self.assertEqual(self.verify(folder)[0], code, change)

    def test_a_tensor_that_one_has_alone_is_named(self):
        self.convert(CHECKPOINTS / "bert_tiny")
        code, said, _ = self.verify(CHECKPOINTS / "bert_nopool", "--json")
        self.assertEqual(code, 1)
        rows = json.loads(said)["files"][0]["against"]["tensors"]
        kinds = {row["name"]: row["is"] for row in rows}
        self.assertEqual(kinds["head.pooler.dense.w"], "not in the checkpoint")
        self.assertEqual(kinds["enc.emb.tok"], "shape")
        self.assertEqual(kinds["enc.0002.attn.qkv.w"], "not in the file")
        _, _, error = self.verify(CHECKPOINTS / "bert_nopool")
        self.assertIn('"enc.emb.tok": of another shape in the checkpoint', error)
        self.assertIn("and 27 tensors more; --json lists all", error)

    def test_a_sentence_head_that_was_left_out_is_not_missed(self):
        source = CHECKPOINTS / "sentence_dense"
        self.convert(source, "--no-sentence-head")
        self.assertEqual(self.verify(source)[0], 0)

    def test_a_bad_source_is_an_error_of_the_source(self):
        self.convert(CHECKPOINTS / "gpt2_untied")
        folder = self.copy("gpt2_untied")
        config = json.loads((folder / "config.json").read_text())
        file = folder / "model.safetensors"
        self.assertEqual(self.verify(self.place / "absent")[0], 5)
        file.write_bytes(file.read_bytes()[:-4])
        code, _, error = self.verify(folder)
        self.assertEqual(code, 4)
        self.assertIn(str(folder), error)
        config["architectures"] = ["LlamaForCausalLM"]
        (folder / "config.json").write_text(json.dumps(config))
        file.write_bytes((CHECKPOINTS / "gpt2_untied" / file.name).read_bytes())
        code, said, _ = self.verify(folder, "--json")
        self.assertEqual(code, 3)
        self.assertIn("LlamaForCausalLM", json.loads(said)["files"][0]["error"]["message"])
        self.assertEqual(self.verify(folder, "--arch", "GPT2LMHeadModel")[0], 0)

    def test_a_configuration_elsewhere_is_named(self):
        folder = self.copy("gpt2_untied")
        self.convert(folder)
        (folder / "config.json").rename(self.place / "other.json")
        file = folder / "model.safetensors"
        self.assertEqual(self.verify(file)[0], 2)
        self.assertEqual(self.verify(file, "--config", self.place / "other.json")[0], 0)

    def test_a_damaged_file_is_damaged_whatever_it_is_compared_with(self):
        source = CHECKPOINTS / "gpt2_untied"
        self.convert(source)
        data = bytearray(self.output.read_bytes())
        data[-5000] ^= 1
        self.output.write_bytes(data)
        self.assertEqual(self.verify(source)[0], 4)
        self.assertEqual(self.verify(source, "--level", "0")[0], 1)

    def test_tolerances_alone_are_refused(self):
        for option in (["--atol", "1"], ["--rtol", "1"], ["--arch", "x"], ["--config", "x"]):
            self.assertEqual(run("eet-verify", "x.eet", *option)[0], 2)


if __name__ == "__main__":
    unittest.main()
