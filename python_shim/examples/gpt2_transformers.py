"""GPT-2 of Transformers, as in the original: a prompt, then one token at a time.

    python gpt2_transformers.py FOLDER

FOLDER is the folder of a GPT-2 checkpoint, a .eet file, or a name in the hub's local cache.
"""

import sys
import time

import numpy
from eet.transformers.modeling_gpt2 import EETGPT2Model

BATCH, PROMPT, STEPS = 5, 24, 20


def main():
    model = EETGPT2Model.from_pretrained(
        sys.argv[1], max_batch=BATCH, full_seq_len=PROMPT, data_type="float32"
    )
    random = numpy.random.default_rng(1)
    most = model.model.vocab_size
    input_ids = random.integers(0, most, (BATCH, PROMPT))  # torch tensors do as well

    first_pass = True
    begin = time.perf_counter()
    for _ in range(1 + STEPS):
        hidden = model(input_ids, first_pass=first_pass)
        first_pass = False
        input_ids = random.integers(0, most, (BATCH, 1))
    seconds = time.perf_counter() - begin
    print(f"{BATCH} rows, {PROMPT} + {STEPS} tokens: {seconds * 1000:.1f} ms, {hidden.shape}")


if __name__ == "__main__":
    main()
