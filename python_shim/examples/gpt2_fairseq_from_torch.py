"""A decoder of Fairseq that is in memory already, as the original's "from buffer".

    python gpt2_fairseq_from_torch.py

Needs torch and fairseq; the weights are random.
"""

from argparse import Namespace

import numpy
import torch
from eet.fairseq.transformer import EETTransformerDecoder
from fairseq.data import Dictionary
from fairseq.models.transformer import Embedding, TransformerDecoder
from fairseq.models.transformer_lm import transformer_lm_gpt

VOCABULARY = 40


def main():
    args = Namespace(
        decoder_layers=2, decoder_embed_dim=32, decoder_output_dim=32, decoder_input_dim=32,
        decoder_ffn_embed_dim=64, decoder_attention_heads=4, decoder_normalize_before=True,
        share_decoder_input_output_embed=True, activation_fn="relu", max_target_positions=64,
        arch="transformer_lm_gpt", task="language_modeling", tokens_per_sample=64,
        adaptive_softmax_cutoff=None, dropout=0.0,
    )  # fmt: skip
    transformer_lm_gpt(args)
    args.activation_fn = "relu"
    dictionary = Dictionary()
    for index in range(VOCABULARY - len(dictionary)):
        dictionary.add_symbol(f"word{index}")
    embedding = Embedding(len(dictionary), args.decoder_embed_dim, dictionary.pad())
    decoder = TransformerDecoder(args, dictionary, embedding, no_encoder_attn=True).eval()

    config = {"max_batch": 3, "full_seq_len": 16, "data_type": torch.float32}
    model = EETTransformerDecoder.from_torch(decoder, dictionary, args, config)
    tokens = torch.from_numpy(numpy.random.default_rng(1).integers(4, VOCABULARY, (3, 10)))
    ours = model(tokens, first_pass=True).logits
    with torch.no_grad():
        theirs, _ = decoder(tokens)
    print(f"largest difference {float((ours - theirs).abs().max()):.1e}")


if __name__ == "__main__":
    main()
