"""Every example of python_shim/examples, run, and beside the real libraries where it has a twin
there (run with build/oracle/bin/python, which has Transformers and Fairseq)."""

import contextlib
import io
import os
import re
import subprocess
import sys
import unittest

import tables_support  # noqa: F401  (a cache of its own)
import torch
from tables_support import CHECKPOINTS, ROOT

EXAMPLES = ROOT / "python_shim" / "examples"
MINILM = os.environ.get("EET_MINILM")  # tests/oracle/python.sh sets it


def run(name, *arguments):
    done = subprocess.run(
        [sys.executable, EXAMPLES / (name + ".py"), *map(str, arguments)],
        capture_output=True, text=True, env={**os.environ, "READTHEDOCS": "1"}, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise AssertionError(done.stdout + done.stderr)
    return done.stdout


class Examples(unittest.TestCase):
    def test_all_of_them_are_run_here(self):
        mine = {name for name in dir(self) if name.startswith("test_")}
        for path in EXAMPLES.glob("*.py"):
            self.assertIn("test_" + path.stem, mine)

    def test_gpt2_transformers(self):
        self.assertIn("(5, 1, 32)", run("gpt2_transformers", CHECKPOINTS / "gpt2_tiny"))

    def test_bert_transformers(self):
        out = run("bert_transformers", CHECKPOINTS / "bert_tiny")
        self.assertIn("hidden (4, 16, 32) pooled (4, 32)", out)
        self.assertIn("same as alone: True", out)

    def test_gpt2_fairseq(self):
        self.assertIn("(4, 1, 31)", run("gpt2_fairseq", CHECKPOINTS / "fs012_lm"))

    def test_gpt2_fairseq_from_torch(self):
        found = re.search("largest difference (.*)", run("gpt2_fairseq_from_torch"))
        self.assertLess(float(found[1]), 1e-4)

    def test_transformers_beam_search(self):
        from transformers import AutoModelForCausalLM

        out = run("transformers_beam_search", CHECKPOINTS / "gpt2_tiny")
        theirs = AutoModelForCausalLM.from_pretrained(CHECKPOINTS / "gpt2_tiny")
        wanted = theirs.generate(
            torch.tensor([[5, 9, 2, 7], [3, 3, 8, 1]]),
            attention_mask=torch.tensor([[1, 1, 1, 1], [0, 1, 1, 1]]), num_beams=4,
            max_new_tokens=12, no_repeat_ngram_size=2, pad_token_id=0,
        )  # fmt: skip
        self.assertEqual([list(map(int, line.split())) for line in out.splitlines()],
                         wanted.tolist())  # fmt: skip

    def test_fairseq_sequence_generator(self):
        folder = CHECKPOINTS / "fs012_nmt"
        out = run("fairseq_sequence_generator", folder)
        with contextlib.redirect_stderr(io.StringIO()):
            from fairseq import checkpoint_utils
            from fairseq.sequence_generator import SequenceGenerator

            models, _, task = checkpoint_utils.load_model_ensemble_and_task(
                [str(folder / "checkpoint_best.pt")], arg_overrides={"data": str(folder)}
            )
            for layer in models[0].eval().encoder.layers:
                layer.can_use_fastpath = False  # wrong for sources padded on the left
            generator = SequenceGenerator(models, task.target_dictionary, beam_size=3, max_len_b=12)
            tokens = torch.tensor([[5, 9, 14, 7, 2], [1, 1, 8, 6, 2]])
            net_input = {"src_tokens": tokens, "src_lengths": torch.tensor([5, 3])}
            wanted = generator.generate(models, {"net_input": net_input})
        lines = [line.split() for line in out.splitlines()]
        hypotheses = [one for row in wanted for one in row]
        self.assertEqual([list(map(int, line[1:])) for line in lines],
                         [one["tokens"].tolist() for one in hypotheses])  # fmt: skip
        for line, one in zip(lines, hypotheses):
            self.assertAlmostEqual(float(line[0]), float(one["score"]), 3)

    @unittest.skipUnless(MINILM, "EET_MINILM names no folder")
    def test_sentence_similarity(self):
        found = re.search("largest difference (.*)", run("sentence_similarity", MINILM))
        self.assertLess(float(found[1]), 1e-5)


if __name__ == "__main__":
    unittest.main()
