"""Random checkpoints of transformers in f16, and the same weights as an open .eet."""

import os
import random
import shutil
import subprocess
import tarfile
import tempfile
import time

import torch
import transformers

VOCAB = 50257
SHAPES = {  # layers, heads, hidden, positions, vocabulary
    "gpt2": (12, 12, 768, 1024, VOCAB), "gpt2-medium": (24, 16, 1024, 16384, VOCAB),
    "gpt2-xl": (48, 25, 1600, 1024, VOCAB), "gpt2-medium-1": (1, 16, 1024, 1024, VOCAB),
    "bert-base": (12, 12, 768, 512, 30522), "bert-large": (24, 16, 1024, 512, 30522)}
for hidden, heads in ((512, 8), (768, 12), (1024, 16), (1536, 16), (2048, 32), (2560, 32), (4096, 32), (5120, 40),
                      (8192, 64), (12288, 96), (16384, 128)):
    SHAPES[f"layer-{hidden}"] = (1, heads, hidden, 1024, 10000)


def is_bert(name):
    return name.startswith("bert")


def weights_of(name):
    """Numbers that a token has to read: all but the tables of positions."""
    layers, _, hidden, _, vocab = SHAPES[name]
    return layers * (12 * hidden**2 + 13 * hidden) + (vocab + 2) * hidden


def make(name):
    layers, heads, hidden, positions, vocab = SHAPES[name]
    torch.manual_seed(7)
    if is_bert(name):
        config = transformers.BertConfig(num_hidden_layers=layers, num_attention_heads=heads, hidden_size=hidden,
                                         intermediate_size=4 * hidden)
        kind = transformers.BertModel
    else:
        config = transformers.GPT2Config(n_layer=layers, n_head=heads, n_embd=hidden, n_positions=positions,
                                         vocab_size=vocab, bos_token_id=0, eos_token_id=None, pad_token_id=0)
        kind = transformers.GPT2LMHeadModel
    torch.set_default_dtype(torch.float16)
    try:
        with torch.device("cuda"):
            return kind(config).half().eval()
    finally:
        torch.set_default_dtype(torch.float32)


class Models:
    """One at a time."""

    def __init__(self, library, converter):
        self.library, self.folder = library, tempfile.mkdtemp()
        self.name = self.torch = self.eet = None
        self.convert = self.unpack(converter)

    def unpack(self, converter):
        """The program itself, or an archive of it and its libraries."""
        if not converter.endswith(".tar.gz"):
            return [converter]
        with tarfile.open(converter) as archive:
            archive.extractall(os.path.join(self.folder, "convert"), filter="data")
        folder = os.path.join(self.folder, "convert")
        # its libraries are for it alone: in the peers' process they would not be torch's own
        return ["env", f"LD_LIBRARY_PATH={folder}", os.path.join(folder, "eet-convert")]

    def path(self, name):
        return os.path.join(self.folder, name)

    def forget(self):
        if self.eet:
            self.library.close(self.eet)
        if self.name:
            shutil.rmtree(self.path(self.name))
        self.name = self.torch = self.eet = None
        torch._dynamo.reset()
        torch.cuda.empty_cache()

    def get(self, name):
        """The model of transformers, and of eet."""
        if name != self.name:
            self.forget()
            self.torch, self.name = make(name), name
            self.torch.save_pretrained(self.path(name))
            subprocess.run([*self.convert, self.path(name), "-o", self.path(name) + "/model.eet"], check=True,
                           stdout=subprocess.DEVNULL)
            self.eet = self.library.open(self.path(name) + "/model.eet")
        return self.torch, self.eet

    def close(self):
        self.forget()
        shutil.rmtree(self.folder)


def rows_of(lengths, vocab):
    rng = random.Random(11)
    return [[rng.randrange(vocab) for _ in range(n)] for n in lengths]


def free_bytes():
    torch.cuda.synchronize()
    torch.cuda.empty_cache()
    return torch.cuda.mem_get_info()[0]


def seconds_of(function):
    begin = time.perf_counter()
    result = function()
    torch.cuda.synchronize()
    return time.perf_counter() - begin, result
