"""Our steps under Fairseq's own SequenceGenerator.

    python fairseq_sequence_generator.py FOLDER

FOLDER has the checkpoint of a translation with its two dictionaries. Needs torch and fairseq.
"""

import sys
from pathlib import Path

import torch
from eet.fairseq.transformer import EETTransformerModel
from fairseq.data import Dictionary
from fairseq.models import FairseqEncoder, FairseqEncoderDecoderModel, FairseqIncrementalDecoder
from fairseq.sequence_generator import SequenceGenerator

BEAM = 3


class Encoder(FairseqEncoder):
    def __init__(self, model, dictionary):
        super().__init__(dictionary)
        self.run = model.encoder

    def forward(self, src_tokens, src_lengths=None):
        return self.run(src_tokens)

    def reorder_encoder_out(self, encoder_out, new_order):
        return {
            "encoder_out": [encoder_out["encoder_out"][0].index_select(1, new_order)],
            "encoder_padding_mask": [
                encoder_out["encoder_padding_mask"][0].index_select(0, new_order)
            ],
        }


class Decoder(FairseqIncrementalDecoder):
    """The rows live in our session; Fairseq's state says how they move."""

    def __init__(self, model, dictionary):
        super().__init__(dictionary)
        self.run = super(EETTransformerModel, model).__call__  # the decoder's call

    def forward(self, prev_output_tokens, encoder_out=None, incremental_state=None, **kwargs):
        first = not incremental_state.get("begun")
        incremental_state["begun"] = True
        tokens = prev_output_tokens if first else prev_output_tokens[:, -1:]
        out = self.run(
            tokens, first_pass=first, reorder_state=incremental_state.pop("order", None),
            encoder_out=encoder_out if first else None,
        )  # fmt: skip
        return out.logits, None

    def reorder_incremental_state_scripting(self, incremental_state, new_order):
        if incremental_state.get("begun"):
            before = incremental_state.get("order")
            incremental_state["order"] = new_order if before is None else before[new_order]

    def max_positions(self):
        return 10**6


def main():
    folder = Path(sys.argv[1])
    sentences = [[5, 9, 14, 7, 2], [8, 6, 2]]  # ids; 2 is </s>
    model = EETTransformerModel.from_pretrained(folder, max_batch=BEAM * len(sentences))
    source, target = (
        Dictionary.load(str(path)) for path in sorted(folder.glob("dict.*.txt"))
    )
    if len(target) != model.model.fact("dec.vocab.size"):
        source, target = target, source
    whole = FairseqEncoderDecoderModel(Encoder(model, source), Decoder(model, target))
    generator = SequenceGenerator([whole], target, beam_size=BEAM, max_len_b=12)

    longest = max(map(len, sentences))
    tokens = torch.tensor([[1] * (longest - len(s)) + s for s in sentences])  # padded on the left
    lengths = torch.tensor([len(s) for s in sentences])
    net_input = {"src_tokens": tokens, "src_lengths": lengths}
    for hypotheses in generator.generate([whole], {"net_input": net_input}):
        for one in hypotheses:
            print(f"{float(one['score']):.4f}", *one["tokens"].tolist())


if __name__ == "__main__":
    main()
