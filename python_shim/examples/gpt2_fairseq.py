"""GPT-2 of Fairseq, as in the original: rows are reordered between the steps.

    python gpt2_fairseq.py FOLDER

FOLDER has checkpoint_best.pt and dict.txt.
"""

import sys

import numpy
from eet.fairseq.transformer import EETTransformerDecoder

BATCH, PROMPT, TOTAL = 4, 8, 20


def main():
    model = EETTransformerDecoder.from_pretrained(
        sys.argv[1], max_batch=BATCH, full_seq_len=PROMPT, data_type="float32",
        no_encoder_attn=True,
    )  # fmt: skip
    random = numpy.random.default_rng(1)
    tokens = random.integers(4, model.model.vocab_size, (BATCH, TOTAL))

    first_pass, reorder_state = True, None
    for step in range(PROMPT - 1, TOTAL):
        new = tokens[:, : step + 1] if first_pass else tokens[:, step : step + 1]
        logits = model(new, reorder_state=reorder_state, first_pass=first_pass).logits
        first_pass = False
        reorder_state = numpy.array([1, 0, 2, 3])  # row b goes on from row reorder_state[b]
        tokens[:, : step + 1] = tokens[reorder_state, : step + 1]
    print("logits of the last step", logits.shape)


if __name__ == "__main__":
    main()
