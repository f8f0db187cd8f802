"""Our step under Transformers' own generate: its beam search, its logits processors, our engine.

    python transformers_beam_search.py FOLDER

Needs torch and transformers. `generate` of eet.transformers is shorter and faster; this is for
what only Transformers' loop has.
"""

import sys

import torch
from eet.transformers import AutoModelForCausalLM
from transformers import AutoConfig, GenerationConfig
from transformers.generation import GenerationMixin
from transformers.modeling_outputs import CausalLMOutputWithPast


class Engine(GenerationMixin, torch.nn.Module):
    """What generate() asks of a model."""

    main_input_name = "input_ids"
    _supports_cache_class = False
    _is_stateful = False

    def __init__(self, folder):
        torch.nn.Module.__init__(self)
        self.model = AutoModelForCausalLM.from_pretrained(folder)
        self.config = AutoConfig.from_pretrained(folder)
        self.generation_config = GenerationConfig.from_model_config(self.config)
        self.device = torch.device("cpu")
        self.dtype = torch.float32

    def can_generate(self):
        return True

    def prepare_inputs_for_generation(self, input_ids, past_key_values=None, attention_mask=None,
                                      **kwargs):  # fmt: skip
        positions = (attention_mask.cumsum(-1) - 1).clamp(min=0)
        if past_key_values is not None:
            new = input_ids.shape[1] - past_key_values.get_seq_length()
            input_ids, positions = input_ids[:, -new:], positions[:, -new:]
        return {"input_ids": input_ids, "attention_mask": attention_mask,
                "position_ids": positions, "past_key_values": past_key_values}  # fmt: skip

    def forward(self, input_ids, attention_mask, position_ids, past_key_values=None, **kwargs):
        out = self.model(input_ids, attention_mask=attention_mask, position_ids=position_ids,
                         past_key_values=past_key_values)  # fmt: skip
        return CausalLMOutputWithPast(logits=out.logits, past_key_values=out.past_key_values)


def main():
    model = Engine(sys.argv[1])
    ids = torch.tensor([[5, 9, 2, 7], [3, 3, 8, 1]])
    mask = torch.tensor([[1, 1, 1, 1], [0, 1, 1, 1]])
    found = model.generate(
        ids, attention_mask=mask, num_beams=4, max_new_tokens=12, no_repeat_ngram_size=2,
        pad_token_id=0,
    )  # fmt: skip
    for row in found.tolist():
        print(*row)


if __name__ == "__main__":
    main()
