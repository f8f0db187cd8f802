"""eet.cache and where from_pretrained finds its models."""

import contextlib
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import unittest
from pathlib import Path

import numpy
import tables_support  # noqa: F401  (a cache of its own)
from tables_support import CHECKPOINTS

import eet
from eet import cache
from eet.transformers import AutoModel, EETBertModel, EETGPT2LMHeadModel, EETGPT2Model


class Cache(unittest.TestCase):
    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="eet-cache-test-"))
        self.addCleanup(shutil.rmtree, self.folder, True)
        self.source = self.folder / "gpt2"
        shutil.copytree(CHECKPOINTS / "gpt2_tiny", self.source)
        self.root = self.folder / "cache"

    def open(self, **options):
        with cache.opened(self.source, self.root, **options) as path:
            with eet.load(path, device="cpu") as model:
                return path, model.digest, path.stat().st_ino

    def test_a_second_opening_converts_nothing(self):
        self.assertEqual(self.open(), self.open())
        self.assertEqual(len(cache.entries(self.root)), 1)

    def test_the_file_is_named_by_its_content_and_private(self):
        path, digest, _ = self.open()
        self.assertEqual("sha256:" + path.stem, digest)
        for part in (self.root, self.root / "keys", self.root / "models"):
            self.assertEqual(part.stat().st_mode & 0o777, 0o700)
        self.assertEqual(path.stat().st_mode & 0o777, 0o600)

    def test_every_part_of_the_key_makes_another_one(self):
        keys = {cache.source_key(self.source, {})}
        keys.add(cache.source_key(self.source, {"dtype": "f16"}))
        weights = self.source / "model.safetensors"
        os.utime(weights, ns=(1, 1))
        keys.add(cache.source_key(self.source, {}))
        weights.write_bytes(weights.read_bytes())  # another time of change
        keys.add(cache.source_key(self.source, {}))
        shutil.copy(weights, self.folder / "new")
        os.utime(self.folder / "new", ns=(weights.stat().st_mtime_ns,) * 2)
        os.replace(self.folder / "new", weights)  # another inode
        keys.add(cache.source_key(self.source, {}))
        (self.source / "extra.json").write_text("{}")
        keys.add(cache.source_key(self.source, {}))
        moved = self.folder / "moved"
        self.source.rename(moved)
        keys.add(cache.source_key(moved, {}))
        self.assertEqual(len(keys), 7)

    def test_sources_of_one_content_share_a_file(self):
        first = self.open()
        (self.source / "README").write_text("another key")
        self.assertEqual(self.open()[0], first[0])
        self.assertEqual(len(list((self.root / "models").glob("*.eet"))), 1)

    def test_a_damaged_model_is_made_anew(self):
        path, digest, _ = self.open()
        path.write_bytes(path.read_bytes()[:-4096])
        self.assertEqual(self.open()[1], digest)
        path.unlink()
        self.assertEqual(self.open()[1], digest)
        (self.root / "keys" / (cache.entries(self.root)[0].key + ".json")).write_text("{")
        self.assertEqual(self.open()[1], digest)

    def test_a_refused_checkpoint_leaves_nothing(self):
        (self.source / "model.safetensors").write_bytes(b"no weights")
        (self.source / "pytorch_model.bin").unlink()
        with self.assertRaises(eet.Error):
            self.open()
        self.assertEqual(cache.entries(self.root), [])
        self.assertEqual(os.listdir(self.root / "models"), [])

    def test_threads_and_processes_convert_once(self):
        found, errors = [], []

        def work():
            try:
                found.append(self.open())
            except BaseException as error:
                errors.append(error)

        code = (
            "import sys; from eet import cache\n"
            "with cache.opened(sys.argv[1], sys.argv[2]) as p: print(p, p.stat().st_ino)"
        )
        others = [
            subprocess.Popen([sys.executable, "-c", code, self.source, self.root],
                             stdout=subprocess.PIPE, text=True)  # fmt: skip
            for _ in range(2)
        ]
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(errors, [])
        said = {tuple(other.communicate()[0].split()) for other in others}
        self.assertEqual(said, {(str(found[0][0]), str(found[0][2]))})
        self.assertEqual(len(set(found)), 1)

    def test_a_folder_that_others_may_write_is_refused(self):
        self.root.mkdir(mode=0o700)
        self.root.chmod(0o777)
        with self.assertRaisesRegex(PermissionError, "others may write"):
            self.open()

    def test_prune_keeps_what_was_used_last_and_clear_nothing(self):
        first, _, _ = self.open()
        second, _, _ = self.open(dtype="f16")
        os.utime(second, (1, 1))
        self.assertGreater(cache.prune(first.stat().st_size, self.root), 0)
        self.assertEqual((first.exists(), second.exists()), (True, False))
        self.assertEqual(len(cache.entries(self.root)), 1)
        cache.clear(self.root)
        self.assertEqual(list((self.root / "models").iterdir()), [])
        self.open()

    def test_the_command_lists_checks_and_clears(self):
        path, _, _ = self.open()
        kept = os.environ["EET_CACHE"]
        os.environ["EET_CACHE"] = str(self.root)
        self.addCleanup(os.environ.__setitem__, "EET_CACHE", kept)

        def run(*arguments):
            out = io.StringIO()
            with contextlib.redirect_stdout(out):
                code = cache.main(arguments)
            return code, out.getvalue()

        self.assertEqual(run("path"), (0, f"{self.root}\n"))
        code, text = run("list", "--json")
        listed = json.loads(text)
        self.assertEqual((code, listed["schema_version"], len(listed["entries"])), (0, 1, 1))
        self.assertEqual(listed["entries"][0]["path"], str(path))
        self.assertIn(str(self.source), run()[1])
        self.assertEqual(run("check")[0], 0)
        path.write_bytes(b"")
        self.assertEqual(run("check")[0], 1)
        self.assertEqual(run("clear")[0], 0)
        self.assertEqual(cache.entries(self.root), [])


class Sources(unittest.TestCase):
    def test_a_bare_name_is_found_in_the_hubs_cache_and_never_downloaded(self):
        home = Path(tempfile.mkdtemp(prefix="eet-hub-test-"))
        self.addCleanup(shutil.rmtree, home, True)
        model = home / "models--somebody--gpt2-tiny"
        snapshot = model / "snapshots" / "0123abcd"
        (model / "blobs").mkdir(parents=True)
        snapshot.mkdir(parents=True)
        (model / "refs").mkdir()
        (model / "refs" / "main").write_text("0123abcd")
        for name in ("config.json", "model.safetensors"):  # as the hub lays them out
            blob = hashlib.sha256(name.encode()).hexdigest()
            shutil.copy(CHECKPOINTS / "gpt2_tiny" / name, model / "blobs" / blob)
            (snapshot / name).symlink_to(f"../../blobs/{blob}")
        os.environ["HF_HUB_CACHE"] = str(home)
        self.addCleanup(os.environ.pop, "HF_HUB_CACHE")
        ids = [[1, 2, 3]]
        wanted = EETGPT2Model.from_pretrained(CHECKPOINTS / "gpt2_tiny", device="cpu")(ids)
        found = EETGPT2Model.from_pretrained("somebody/gpt2-tiny", device="cpu")(ids)
        numpy.testing.assert_array_equal(found, wanted)
        for name in ("somebody/other", "../gpt2", "gpt2"):
            with self.assertRaisesRegex(eet.FileError, "downloads nothing"):
                EETGPT2Model.from_pretrained(name)

    def test_an_eet_file_is_opened_as_it_is(self):
        with cache.opened(CHECKPOINTS / "bert_tiny") as path:
            copy = Path(tempfile.mkdtemp()) / "model.eet"
            self.addCleanup(shutil.rmtree, copy.parent, True)
            shutil.copy(path, copy)
        with EETBertModel.from_pretrained(copy, 2, None, -1) as model:
            self.assertEqual(model.config["enc.layers"], 2)
            self.assertEqual(model([[1, 2]])[0].shape, (1, 2, 32))

    def test_a_base_model_gets_the_head_that_can_be_tied(self):
        with EETGPT2LMHeadModel.from_pretrained(CHECKPOINTS / "gpt2_base", device="cpu") as model:
            self.assertEqual(model([[1, 2]]).logits.shape[:2], (1, 2))

    def test_a_state_dict_needs_its_config_and_gives_the_same(self):
        import torch

        folder = CHECKPOINTS / "gpt2_tiny"
        tensors = torch.load(folder / "pytorch_model.bin")
        config = json.loads((folder / "config.json").read_text())
        ids = [[4, 5, 6]]
        wanted = EETGPT2Model.from_pretrained(folder, device="cpu")(ids)
        for values in (tensors, {k: v.numpy() for k, v in tensors.items()}):
            model = EETGPT2Model.from_torch(values, config=config, device="cpu")
            numpy.testing.assert_array_equal(model(ids), wanted)
        with self.assertRaisesRegex(eet.ArgumentError, "config"):
            AutoModel.from_torch(tensors)


if __name__ == "__main__":
    unittest.main()
