"""BERT of Transformers, as in the original: hidden states and the pooled output of a batch.

    python bert_transformers.py FOLDER
"""

import sys

import numpy
from eet.transformers.modeling_bert import EETBertModel

BATCH, LENGTH = 4, 16


def main():
    model = EETBertModel.from_pretrained(sys.argv[1], max_batch=BATCH, data_type="float32")
    random = numpy.random.default_rng(1)
    input_ids = random.integers(1, model.model.vocab_size, (BATCH, LENGTH))
    attention_mask = numpy.ones((BATCH, LENGTH), int)  # 1 keeps, 0 leaves out, anywhere
    attention_mask[1, 12:] = 0
    attention_mask[2, 5] = 0

    hidden, pooled = model(input_ids, attention_mask=attention_mask)
    print("hidden", hidden.shape, "pooled", None if pooled is None else pooled.shape)
    # What is left out has no part in what is kept: the second row alone gives the same.
    alone, _ = model(input_ids[1:2, :12])
    print("same as alone:", bool((hidden[1, :12] == alone[0]).all()))


if __name__ == "__main__":
    main()
