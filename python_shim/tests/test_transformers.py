"""The class tables beside the real Transformers (run with build/oracle/bin/python). Numbers in
names are those of docs/compat.md's list of behaviours."""

import copy
import unittest

import tables_support  # noqa: F401  (a cache of its own)
import torch
import transformers
from tables_support import CHECKPOINTS, share

import eet
from eet import transformers as ours

torch.manual_seed(5)
torch.set_grad_enabled(False)


def gpt2(**more):
    config = transformers.GPT2Config(
        vocab_size=120, n_positions=256, n_embd=48, n_layer=3, n_head=4, bos_token_id=119,
        eos_token_id=119, initializer_range=0.3, **more,
    )  # fmt: skip
    return transformers.GPT2LMHeadModel(config).eval()


def draw(rows, columns, high=118, low=1):
    return torch.randint(low, high, (rows, columns))


class Generation(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.theirs = gpt2()
        cls.ours = ours.AutoModelForCausalLM.from_torch(cls.theirs, device="cpu")
        cls.ids = draw(3, 7)
        cls.mask = torch.tensor([[1] * 7, [0, 0, 1, 1, 1, 1, 1], [0, 0, 0, 0, 0, 1, 1]])

    def both(self, **keywords):
        # Transformers' repetition penalty counts what the mask leaves out; ours does not.
        mask = torch.ones_like(self.mask) if "repetition_penalty" in keywords else self.mask
        keywords = {"attention_mask": mask, "pad_token_id": 119, **keywords}
        return self.ours.generate(self.ids, **keywords), self.theirs.generate(self.ids, **keywords)

    def test_24_two_hundred_greedy_tokens_are_those_of_transformers(self):
        exact = copy.deepcopy(self.theirs).double()
        found = self.ours.generate(self.ids, attention_mask=self.mask, max_new_tokens=200)
        wanted = exact.generate(
            self.ids, attention_mask=self.mask, max_new_tokens=200, pad_token_id=119
        )
        self.assertTrue(torch.equal(found, wanted))

    def test_24_logits_are_those_of_transformers(self):
        out = self.ours(self.ids, attention_mask=self.mask).logits
        wanted = copy.deepcopy(self.theirs).double()(self.ids, attention_mask=self.mask).logits
        keep = self.mask == 1
        self.assertLess(share(out[keep], wanted[keep]), 1)

    def test_46_searches_give_what_transformers_gives(self):
        for keywords in (
            {"max_new_tokens": 12, "num_beams": 3},
            {"max_new_tokens": 12, "num_beams": 4, "num_return_sequences": 3},
            {"max_new_tokens": 9, "num_beams": 2, "length_penalty": 0.3, "early_stopping": True},
            {"max_new_tokens": 9, "num_beams": 3, "early_stopping": "never"},
            {"max_new_tokens": 12, "repetition_penalty": 1.4},
            {"max_length": 16, "min_length": 12, "eos_token_id": [119, 7, 8]},
            {"max_new_tokens": 20, "min_new_tokens": 3, "eos_token_id": list(range(60))},
            {"max_new_tokens": 5, "eos_token_id": None},
        ):
            with self.subTest(**keywords):
                found, wanted = self.both(**keywords)
                self.assertEqual(found.tolist(), wanted.tolist())

    def test_46_beams_come_with_their_scores(self):
        keywords = {"num_beams": 3, "num_return_sequences": 2, "max_new_tokens": 8}
        found = self.ours.generate(
            self.ids, attention_mask=self.mask, return_dict_in_generate=True, **keywords
        )
        wanted = self.theirs.generate(
            self.ids, attention_mask=self.mask, pad_token_id=119, return_dict_in_generate=True,
            output_scores=True, **keywords,
        )  # fmt: skip
        self.assertTrue(torch.equal(found.sequences, wanted.sequences))
        self.assertLess(abs(found.sequences_scores - wanted.sequences_scores).max(), 1e-4)

    def test_46_a_forced_end_is_that_of_transformers(self):
        for keywords in (
            {"forced_eos_token_id": 119, "num_beams": 3},
            {"forced_eos_token_id": 7, "num_beams": 4},  # ends no text
            {"forced_eos_token_id": 119, "num_beams": 5, "length_penalty": 0.3},
            {"forced_eos_token_id": 5, "num_beams": 3, "repetition_penalty": 1.4},
            {"forced_eos_token_id": 9, "num_beams": 4, "eos_token_id": 18},
            {"forced_eos_token_id": 8, "num_beams": 3, "early_stopping": "never",
             "eos_token_id": 8},
            {"forced_eos_token_id": 119, "num_beams": 2, "min_new_tokens": 6},
            {"forced_eos_token_id": 119, "num_beams": 3, "max_new_tokens": 1},
            {"forced_eos_token_id": 7},
        ):
            with self.subTest(**keywords):
                beams = keywords.get("num_beams", 1)
                keywords = {"max_new_tokens": 6, "return_dict_in_generate": True,
                            "output_scores": True, "num_return_sequences": beams, **keywords}
                mask = torch.ones_like(self.mask)
                wanted = self.theirs.generate(
                    self.ids, attention_mask=mask, pad_token_id=119, **keywords
                )
                del keywords["output_scores"]
                found = self.ours.generate(self.ids, attention_mask=mask, pad_token_id=119, **keywords)
                self.assertEqual(found.sequences.tolist(), wanted.sequences.tolist())
                if beams > 1:
                    error = abs(found.sequences_scores - wanted.sequences_scores)
                    self.assertLess((error / abs(wanted.sequences_scores).clamp(1)).max(), 1e-4)

    def test_46_draws_are_reproducible_and_differ_between_copies(self):
        keywords = {"do_sample": True, "top_k": 40, "top_p": 0.95, "temperature": 1.3,
                    "num_return_sequences": 4, "max_new_tokens": 16}  # fmt: skip
        first = self.ours.generate(self.ids, seed=3, **keywords)
        self.assertTrue(torch.equal(first, self.ours.generate(self.ids, seed=3, **keywords)))
        self.assertFalse(torch.equal(first, self.ours.generate(self.ids, seed=4, **keywords)))
        self.assertEqual(first.shape[0], 12)
        self.assertGreater(len({tuple(row) for row in first[:4].tolist()}), 1)

    def test_46_unknown_keywords_raise(self):
        for keyword in ("no_repeat_ngram_size", "max_tokens", "logits_processor", "num_beam_groups"):
            with self.assertRaisesRegex(TypeError, keyword):
                self.ours.generate(self.ids, max_new_tokens=2, **{keyword: 3})
        self.ours.generate(self.ids, max_new_tokens=2, no_repeat_ngram_size=0)

    def test_46_a_generation_config_gives_keywords(self):
        config = transformers.GenerationConfig(max_new_tokens=6, num_beams=2)
        found = self.ours.generate(self.ids, attention_mask=self.mask, generation_config=config)
        wanted, _ = self.both(max_new_tokens=6, num_beams=2)
        self.assertTrue(torch.equal(found, wanted))

    def test_47_a_row_that_ends_is_padded(self):
        ends = list(range(0, 118, 2))
        found, wanted = self.both(max_new_tokens=30, eos_token_id=ends)
        self.assertEqual(found.tolist(), wanted.tolist())
        self.assertLess(found.shape[1], 37)

    def test_06_a_prompt_over_capacity_is_refused(self):
        with self.assertRaisesRegex(eet.LimitError, "256"):
            self.ours.generate(draw(1, 250), max_new_tokens=20)
        with self.assertRaisesRegex(eet.ArgumentError, "max_length"):
            self.ours.generate(draw(1, 25))


def hidden_of(output):
    """Hidden states of a block: the first of a tuple, or (transformers 5) alone."""
    return output[0] if isinstance(output, tuple) else output


def reordered(model, past, order):
    """A cache of the library by parents: its own method, or (of tuples) the model's."""
    if hasattr(past, "reorder_cache"):
        past.reorder_cache(order)
        return past
    return model._reorder_cache(past, order)


class DropIn(unittest.TestCase):
    def test_past_key_values_go_on_and_reorder(self):
        theirs = gpt2()
        model = ours.AutoModelForCausalLM.from_torch(theirs, device="cpu")
        ids, new, last = draw(3, 5), draw(3, 2), draw(3, 1)
        mask = torch.tensor([[1] * 5, [0, 1, 1, 1, 1], [1, 1, 0, 0, 1]])
        a, b = model(ids, attention_mask=mask), theirs(ids, attention_mask=mask)
        mask = torch.cat([mask, torch.ones(3, 2, dtype=torch.long)], 1)
        a = model(new, attention_mask=mask, past_key_values=a.past_key_values)
        b = theirs(new, attention_mask=mask, past_key_values=b.past_key_values)
        self.assertLess(share(a.logits, b.logits), 1)
        order = torch.tensor([2, 2, 1])
        a.past_key_values.reorder_cache(order)
        past = reordered(theirs, b.past_key_values, order)
        mask = torch.cat([mask[order], torch.ones(3, 1, dtype=torch.long)], 1)
        a = model(last, attention_mask=mask, past_key_values=a.past_key_values)
        b = theirs(last, attention_mask=mask, past_key_values=past)
        self.assertLess(share(a.logits, b.logits), 1)
        self.assertEqual(a.past_key_values.get_seq_length(), 8)

    def test_rooms_are_used_again(self):
        model = ours.AutoModelForCausalLM.from_torch(gpt2(), device="cpu")
        held = model(draw(2, 3)).past_key_values
        for _ in range(20):
            model(draw(2, 3))
        self.assertEqual(len(model.pool._idle), 1)
        del held
        self.assertEqual(len(model.pool._idle), 2)

    def test_10_any_mask_of_an_encoder_gives_what_transformers_gives(self):
        for kind, config in (
            (transformers.BertModel, transformers.BertConfig(
                vocab_size=99, hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
                intermediate_size=40, max_position_embeddings=40, initializer_range=0.2)),
            (transformers.RobertaModel, transformers.RobertaConfig(
                vocab_size=99, hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
                intermediate_size=40, max_position_embeddings=42, initializer_range=0.2)),
            (transformers.DistilBertModel, transformers.DistilBertConfig(
                vocab_size=99, dim=32, n_layers=2, n_heads=4, hidden_dim=40,
                max_position_embeddings=40, initializer_range=0.2)),
        ):  # fmt: skip
            theirs = kind(config).eval()
            model = ours.AutoModel.from_torch(theirs, device="cpu")
            ids = draw(5, 12, 99, 2)
            mask = (torch.rand(5, 12) < 0.6).long()
            mask[:, 0] = 1  # what the pooler reads
            mask[0] = torch.tensor([1] * 7 + [0] * 5)
            with self.subTest(kind.__name__):
                out = model(ids, attention_mask=mask)
                wanted = theirs(ids, attention_mask=mask)
                keep = mask == 1
                self.assertLess(
                    share(out.last_hidden_state[keep], wanted.last_hidden_state[keep]), 1
                )
                if "pooler_output" in wanted:
                    self.assertLess(share(out.pooler_output, wanted.pooler_output), 1)

    def test_13_position_and_type_ids_may_be_one_row_for_all(self):
        config = transformers.BertConfig(
            vocab_size=99, hidden_size=32, num_hidden_layers=1, num_attention_heads=4,
            intermediate_size=40, max_position_embeddings=40,
        )  # fmt: skip
        theirs = transformers.BertModel(config).eval()
        model = ours.AutoModel.from_torch(theirs, device="cpu")
        ids, positions = draw(3, 6, 99), torch.tensor([[4, 2, 9, 0, 1, 7]])
        types = torch.tensor([[0, 1, 0, 1, 1, 0]])
        out = model(ids, position_ids=positions, token_type_ids=types)
        wanted = theirs(ids, position_ids=positions, token_type_ids=types.expand(3, 6))
        self.assertLess(share(out[0], wanted[0]), 1)

    def test_31_bart_with_masks_on_both_sides(self):
        config = transformers.BartConfig(
            vocab_size=60, d_model=32, encoder_layers=2, decoder_layers=2,
            encoder_attention_heads=4, decoder_attention_heads=2, encoder_ffn_dim=40,
            decoder_ffn_dim=48, max_position_embeddings=64, init_std=0.3, pad_token_id=1,
            bos_token_id=0, eos_token_id=2, decoder_start_token_id=2,
        )  # fmt: skip
        theirs = transformers.BartForConditionalGeneration(config).eval()
        model = ours.AutoModelForSeq2SeqLM.from_torch(theirs, device="cpu")
        source, target = draw(3, 9, 60, 4), draw(3, 5, 60, 4)
        mask = torch.tensor([[1] * 9, [1] * 5 + [0] * 4, [1, 1, 0, 1, 1, 0, 1, 1, 1]])
        keep = torch.tensor([[1] * 5, [1, 1, 1, 0, 0], [1, 1, 0, 1, 1]])
        inputs = {"attention_mask": mask, "decoder_input_ids": target}
        out = model(source, decoder_attention_mask=keep, **inputs)
        wanted = theirs(source, decoder_attention_mask=keep, **inputs)
        self.assertLess(share(out.logits[keep == 1], wanted.logits[keep == 1]), 1)
        again = model(None, encoder_outputs=(out.encoder_last_hidden_state,), **inputs)
        self.assertLess(share(again.logits, theirs(source, **inputs).logits), 1)
        # generate() of this version of Transformers loses the mask of the source: what it gives
        # for padded rows is not what it gives for them alone. A loop of ours over its model.
        wanted = torch.full((3, 1), 2)
        for _ in range(9):
            inputs["decoder_input_ids"] = wanted
            best = theirs(source, **inputs).logits[:, -1].argmax(-1, keepdim=True)
            wanted = torch.cat([wanted, best], 1)
        keywords = {"attention_mask": mask, "max_new_tokens": 10, "eos_token_id": None}
        found = model.generate(source, **keywords)
        self.assertEqual(found[:, :10].tolist(), wanted.tolist())
        self.assertEqual(found[:, 10].tolist(), [2, 2, 2])  # forced_eos_token_id
        for keywords in ({}, {"forced_eos_token_id": 2}, {"forced_eos_token_id": 9}):
            keywords.update(num_beams=3, max_new_tokens=10, eos_token_id=[2, 17])
            found = model.generate(source, **keywords)
            self.assertEqual(found.tolist(), theirs.generate(source, **keywords).tolist())

    def test_30_roberta_as_a_decoder_steps(self):
        folder = CHECKPOINTS / "roberta_decoder"
        theirs = transformers.RobertaForCausalLM.from_pretrained(folder).eval()
        model = ours.AutoModelForCausalLM.from_pretrained(folder, device="cpu")
        ids = draw(2, 6, 60, 3)
        ids[1, :2] = 1  # the padding id
        mask = (ids != 1).long()
        keep = mask == 1
        out = model(ids, attention_mask=mask)
        wanted = theirs(ids, attention_mask=mask)
        self.assertLess(share(out.logits[keep], wanted.logits[keep]), 1)


class FromTorch(unittest.TestCase):
    def test_50_every_task_class_takes_a_module(self):
        sizes = {"vocab_size": 99, "hidden_size": 32, "num_hidden_layers": 1,
                 "num_attention_heads": 4, "intermediate_size": 40,
                 "max_position_embeddings": 40}  # fmt: skip
        ids, mask = draw(2, 6, 99), torch.tensor([[1] * 6, [1, 1, 1, 1, 0, 0]])
        for name in ("Model", "ForPreTraining", "LMHeadModel", "ForMaskedLM",
                     "ForNextSentencePrediction", "ForSequenceClassification",
                     "ForTokenClassification", "ForQuestionAnswering"):  # fmt: skip
            kind = getattr(transformers, "Bert" + name)
            theirs = kind(transformers.BertConfig(**sizes)).eval()
            with self.subTest(name):
                model = getattr(ours, "EETBert" + name).from_torch(theirs, 2, device="cpu")
                out, wanted = model(ids, attention_mask=mask), theirs(ids, attention_mask=mask)
                self.assertEqual(list(out.keys()), [k for k in wanted if k != "past_key_values"])
                for key in out.keys():
                    a, b = out[key], wanted[key]
                    if a.shape[:2] == mask.shape:
                        a, b = a[mask == 1], b[mask == 1]
                    self.assertLess(abs(a - b).max(), 1e-4, key)

    def test_half_precision_modules_keep_their_type(self):
        theirs = gpt2().half()
        model = ours.AutoModelForCausalLM.from_torch(theirs, device="cpu", dtype=torch.float16)
        out = model(draw(1, 4)).logits
        self.assertEqual(out.dtype, torch.float16)
        self.assertEqual(model.model.tensors["dec.emb.tok"].dtype, "f16")


class Layers(unittest.TestCase):
    """Parts of a model against the library's submodules."""

    def test_gpt2_parts_are_those_of_transformers(self):
        theirs = gpt2(scale_attn_by_inverse_layer_idx=True)
        model = ours.EETGPT2Model.from_torch(theirs, 3, device="cpu")
        body, ids, x = theirs.transformer, draw(2, 5), torch.randn(2, 5, 48)
        self.assertLess(share(model.embedding(ids), body.wte(ids) + body.wpe(torch.arange(5))), 1)
        self.assertLess(share(model.layer_norm(x), body.ln_f(x)), 1)
        for index, block in enumerate(body.h):
            layer = model.decoder.layers[index]
            self.assertLess(share(layer(x), hidden_of(block(x))), 1)
            bare = {"pre_layernorm": False, "add_residual": False}
            self.assertLess(share(layer.attention(x, **bare), block.attn(x)[0]), 1)
            self.assertLess(share(layer.feedforward(x, **bare), block.mlp(x)), 1)
            alone = ours.EETGPT2Attention(model, index)(x, add_residual=False)
            self.assertLess(share(alone, block.attn(block.ln_1(x))[0]), 1)

    def test_a_decoder_of_parts_steps_and_reorders_like_the_model(self):
        model = ours.EETGPT2Model.from_torch(gpt2(), 3, device="cpu")
        ids = draw(3, 6)
        mask = torch.tensor([[1] * 6, [0, 0, 1, 1, 1, 1], [1, 1, 0, 1, 1, 1]])

        def parts(ids, positions, mask=None, **options):
            return model.layer_norm(model.decoder(model.embedding(ids, positions), mask, **options))

        positions = (mask.cumsum(1) - 1).clamp(min=0)
        keep = mask == 1
        whole = model(ids, attention_mask=mask)
        self.assertLess(share(parts(ids, positions, mask)[keep], whole[keep]), 1)
        order = torch.tensor([1, 1, 0])
        at = keep.sum(1)[order][:, None]
        for step in range(70):  # past the room that a cache has at first
            new = draw(3, 1)
            found = parts(new, at + step, first_pass=False, reorder_state=order)
            wanted = model(new, first_pass=False, reorder_state=order)
            self.assertLess(share(found, wanted), 1)
            order = torch.tensor([0, 1, 2])
        with self.assertRaises(eet.ArgumentError):
            parts(new, at, first_pass=False, reorder_state=[0, 1, 3])

    def test_bert_parts_are_those_of_transformers(self):
        config = transformers.BertConfig(
            vocab_size=99, hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
            intermediate_size=40, max_position_embeddings=40, initializer_range=0.2,
            hidden_act="gelu_new",
        )  # fmt: skip
        theirs = transformers.BertModel(config).eval()
        model = ours.EETBertModel.from_torch(theirs, 2, device="cpu")
        ids, types = draw(2, 7, 99), draw(2, 7, 2, 0)
        mask = torch.tensor([[1] * 7, [1, 1, 0, 1, 1, 0, 0]])
        keep, wide = mask == 1, (mask[:, None, None] - 1.0) * torch.finfo(torch.float32).max
        x = model.embedding(ids, token_type_ids=types)
        self.assertLess(share(x, theirs.embeddings(ids, types)), 1)
        for index, block in enumerate(theirs.encoder.layer):
            layer = model.encoder.layers[index]
            self.assertLess(share(layer(x, mask)[keep], hidden_of(block(x, wide))[keep]), 1)
            found, wanted = layer.attention(x, mask), hidden_of(block.attention(x, wide))
            self.assertLess(share(found[keep], wanted[keep]), 1)
            self.assertTrue((found[~keep] == 0).all())
            self.assertLess(share(layer.feedforward(x), block.output(block.intermediate(x), x)), 1)
        found = model.encoder(x, mask)
        self.assertLess(share(found[keep], theirs(ids, mask, types)[0][keep]), 1)

    def test_half_precision_parts_take_half_precision(self):
        model = ours.EETGPT2Model.from_torch(gpt2(), 1, data_type=torch.float16, device="cpu")
        x = torch.randn(1, 4, 48).half()
        found = model.decoder(x)
        self.assertEqual(found.dtype, torch.float16)
        self.assertLess(abs(found.float() - model.decoder(x.float())).max(), 0.05)


if __name__ == "__main__":
    unittest.main()
