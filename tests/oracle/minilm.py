"""minilm.py - a trained BERT: what eet-encode gives against transformers in float64.

    minilm.py MODEL_DIR SENTENCES.jsonl HIDDEN.jsonl VECTORS.jsonl

The sentences carry text and ids; the ids must be those of the model's own tokenizer. HIDDEN.jsonl
is what eet-encode --pooling none gives for the ids, VECTORS.jsonl what it gives by itself: the model
is one of sentence-transformers, whose output is the mean, scaled to length 1.
"""

import json
import sys
import warnings

warnings.filterwarnings("ignore")

import numpy
import torch
from tokenizers import Tokenizer
from transformers import BertModel


def main():
    """Compares sentence by sentence by the rules for fp32 and says the worst."""
    folder, sentences, hidden, vectors = sys.argv[1:]
    tokenizer = Tokenizer.from_file(f"{folder}/tokenizer.json")
    tokenizer.no_padding()
    tokenizer.no_truncation()
    options = dict(torch_dtype=torch.float64, attn_implementation="eager")
    model = BertModel.from_pretrained(folder, **options).eval()
    names = (sentences, hidden, vectors)
    texts, ours, own = ([json.loads(line) for line in open(name)] for name in names)
    worst_value = worst_l2 = worst_vector = 0
    for text, output, vector in zip(texts, ours, own, strict=True):
        assert tokenizer.encode(text["text"]).ids == text["ids"], text
        with torch.no_grad():
            truth = model(torch.tensor([text["ids"]])).last_hidden_state[0].numpy()
        value = numpy.array(output["hidden"])
        assert value.shape == truth.shape, (value.shape, truth.shape)
        bound = numpy.maximum(1, abs(truth).max(-1, keepdims=True))
        worst_value = max(worst_value, (abs(value - truth) / bound).max())
        error = numpy.linalg.norm(value - truth) / numpy.linalg.norm(truth)
        worst_l2 = max(worst_l2, error)
        mean = truth.mean(0) / numpy.linalg.norm(truth.mean(0))
        worst_vector = max(worst_vector, numpy.linalg.norm(vector["embedding"] - mean))
    print(f"{len(texts)} sentences: a value is off by {worst_value:.1e} at most (1e-4 allowed),")
    print(f"a sentence by {worst_l2:.1e}, its own vector by {worst_vector:.1e} (1e-5 allowed)")
    sys.exit(not (worst_value <= 1e-4 and worst_l2 <= 1e-5 and worst_vector <= 1e-5))


main()
