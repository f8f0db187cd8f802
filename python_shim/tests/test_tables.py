"""The class tables against the float64 outputs of the real libraries (fixtures/golden). Numbers in
names are those of docs/compat.md's list of behaviours."""

import subprocess
import sys
import unittest
from concurrent.futures import ThreadPoolExecutor

import numpy
import tables_support as support
import torch
from tables_support import CHECKPOINTS, Golden, share

import eet
from eet.fairseq import EETTransformerDecoder, EETTransformerModel
from eet import transformers as table


def gpt2(name="gpt2_tiny", kind="EETGPT2Model", **more):
    return getattr(table, kind).from_pretrained(CHECKPOINTS / name, device="cpu", **more)


class Decoding(unittest.TestCase):
    """EETGPT2Model: rows, steps, padding, reordering."""

    def setUp(self):
        self.golden = Golden("gpt2_tiny")
        self.model = gpt2(max_batch=self.golden.rows, full_seq_len=self.golden.width)
        self.addCleanup(self.model.close)
        self.random = numpy.random.default_rng(7)

    def ids(self, rows, columns):
        return self.random.integers(1, 100, (rows, columns))

    def test_02_steps_after_a_prompt_equal_one_pass(self):
        ids = self.ids(3, 12)
        whole = self.model(ids)
        first = self.model(ids[:, :5])
        steps = [self.model(ids[:, i : i + 1], first_pass=False) for i in range(5, 9)]
        block = self.model(ids[:, 9:], first_pass=False)  # several columns at once
        self.assertLess(share(numpy.concatenate([first, *steps, block], 1), whole), 1)

    def test_03_left_padding_gives_what_the_library_gives_without(self):
        out = self.model(self.golden.ids, attention_mask=self.golden.mask)
        self.assertLess(self.golden.error("hidden", out), 1)
        self.assertTrue((out[~self.golden.keep] == 0).all())

    def test_03_left_padding_holds_in_every_step(self):
        mask = numpy.ones((2, 6), int)
        mask[1, :3] = 0
        ids = self.ids(2, 6)
        self.model(ids, attention_mask=mask)
        alone = gpt2(max_batch=1)
        alone(ids[1:, 3:])
        for _ in range(4):
            new = self.ids(2, 1)
            mask = numpy.concatenate([mask, numpy.ones((2, 1), int)], 1)
            ours = self.model(new, first_pass=False, attention_mask=mask)
            numpy.testing.assert_array_equal(ours[1:], alone(new[1:], first_pass=False))

    def test_03_interior_zeros_are_left_out(self):
        ids = self.ids(1, 8)
        mask = numpy.array([[1, 0, 1, 1, 0, 0, 1, 1]])
        kept = self.model(ids[:, mask[0] == 1])
        ours = self.model(ids, attention_mask=mask)
        numpy.testing.assert_array_equal(ours[:, mask[0] == 1], kept)
        self.assertTrue((ours[:, mask[0] == 0] == 0).all())

    def test_04_a_row_of_padding_alone_is_zeros_and_may_begin_later(self):
        ids, mask = self.ids(2, 4), numpy.array([[0, 0, 0, 0], [0, 0, 0, 1]])
        out = self.model(ids, attention_mask=mask)
        self.assertTrue((out[0] == 0).all() and numpy.isfinite(out).all())
        new = self.ids(2, 1)
        step = self.model(new, first_pass=False)
        numpy.testing.assert_array_equal(step[:1], gpt2(max_batch=1)(new[:1]))

    def test_05_a_second_request_is_not_touched_by_the_first(self):
        ids = self.ids(2, 5)
        fresh = self.model(ids)
        self.model(self.ids(3, 9))
        self.model(self.ids(3, 1), first_pass=False)
        numpy.testing.assert_array_equal(self.model(ids), fresh)

    def test_06_fewer_rows_than_max_batch_work_and_more_are_refused(self):
        ids = self.ids(1, 4)
        before = self.model(ids)
        with self.assertRaisesRegex(eet.LimitError, f"{self.golden.rows + 1} rows"):
            self.model(self.ids(self.golden.rows + 1, 4))
        new = self.ids(1, 1)  # the row of before goes on
        whole = gpt2(max_batch=1)(numpy.concatenate([ids, new], 1))
        numpy.testing.assert_allclose(self.model(new, first_pass=False), whole[:, -1:], atol=1e-4)
        self.assertEqual(before.shape[0], 1)

    def test_07_reorder_permutes_rows_and_dropping_leaves_the_others(self):
        ids, new = self.ids(3, 5), self.ids(3, 1)
        self.model(ids)
        moved = self.model(new, first_pass=False, reorder_state=[2, 0, 1])
        self.model(ids)
        straight = self.model(new[[1, 2, 0]], first_pass=False)
        numpy.testing.assert_array_equal(moved[[1, 2, 0]], straight)
        last = self.ids(1, 1)
        dropped = self.model(last, first_pass=False, reorder_state=[1])
        whole = numpy.concatenate([ids[1:2], new[[2]], last], 1)
        alone = gpt2(max_batch=1)
        alone(whole[:, :-2])
        alone(whole[:, -2:-1], first_pass=False)
        numpy.testing.assert_array_equal(dropped, alone(last, first_pass=False))

    def test_08_beams_of_one_parent_diverge(self):
        ids, new = self.ids(3, 70 % 7 + 5), self.ids(3, 1)
        self.model(ids)
        self.model(new, first_pass=False, reorder_state=[1, 1, 0])
        last = self.ids(3, 1)
        ours = self.model(last, first_pass=False, reorder_state=[0, 1, 1])
        texts = numpy.concatenate([ids[[1, 1, 0]], new], 1)[[0, 1, 1]]
        whole = self.model(numpy.concatenate([texts, last], 1))
        self.assertLess(share(ours, whole[:, -1:]), 1)

    def test_08_a_parent_out_of_range_changes_nothing(self):
        ids, new = self.ids(2, 4), self.ids(2, 1)
        self.model(ids)
        for parents in ([0, 2], [-1, 0]):
            with self.assertRaises(eet.ArgumentError):
                self.model(new, first_pass=False, reorder_state=parents)
        with self.assertRaises(eet.ArgumentError):  # a bad id: the rows have not moved
            self.model([[5], [101]], first_pass=False, reorder_state=[1, 0])
        after = self.model(new, first_pass=False)
        self.model(ids)
        numpy.testing.assert_array_equal(after, self.model(new, first_pass=False))

    def test_09_cross_attention_follows_new_memory_and_its_lengths(self):
        golden = Golden("gpt2_cross")
        sources = numpy.diff(golden.data["source_start"]) if "source_start" in golden.data else None
        model = gpt2("gpt2_cross", "EETGPT2LMHeadModel", max_batch=2)
        hidden = self.random.standard_normal((2, 7, model.model.fact("dec.cross_dim")))
        hidden = hidden.astype(numpy.float32)
        mask = numpy.ones((2, 7), int)
        mask[1, 4:] = 0
        ids = self.random.integers(1, 40, (2, 5))
        ours = model(ids, encoder_out=hidden, encoder_attention_mask=mask).logits
        alone = model(ids[1:], encoder_out=hidden[1:, :4]).logits
        numpy.testing.assert_array_equal(ours[1:], alone)
        other = model(ids[1:], encoder_out=hidden[:1, :4]).logits
        self.assertGreater(abs(other - alone).max(), 1e-3)
        self.assertIsNone(sources)

    def test_23_ids_out_of_range_and_lengths_over_capacity_are_refused(self):
        with self.assertRaisesRegex(eet.ArgumentError, "101"):
            self.model([[3, 101]])
        with self.assertRaisesRegex(eet.LimitError, "64"):
            self.model(self.ids(1, 65))
        with self.assertRaises(TypeError):
            self.model(numpy.ones((1, 3)))
        with self.assertRaises(ValueError):
            self.model([])
        self.assertEqual(self.model(self.ids(1, 64)).shape, (1, 64, 32))

    def test_24_gpt2_logits_are_those_of_transformers(self):
        for name in ("gpt2_tiny", "gpt2_untied", "gpt2_deep", "gpt2_head26", "gpt2_noscale",
                     "gpt2_invscale"):  # fmt: skip
            golden = Golden(name)
            with gpt2(name, "EETGPT2LMHeadModel", max_batch=golden.rows) as model:
                out = model(golden.ids, attention_mask=golden.mask)
                self.assertLess(golden.error("lm", out.logits), 1, name)

    def test_25_a_batch_gives_what_its_rows_give_alone(self):
        with gpt2(kind="EETGPT2LMHeadModel", max_batch=1) as model:
            mask = numpy.array([[0, 0, 0, 1, 1], [1, 1, 1, 1, 1], [0, 1, 1, 1, 1]])
            ids = self.ids(3, 5)
            together = model.generate(ids, attention_mask=mask, max_new_tokens=20)
            for row in range(3):
                alone = model.generate(ids[row : row + 1, mask[row] == 1], max_new_tokens=20)
                width = alone.shape[1] - mask[row].sum()
                ours = together[row, 5 : 5 + width]
                numpy.testing.assert_array_equal(ours, alone[0, mask[row].sum() :])

    def test_41_two_models_interleaved_give_right_results(self):
        other = gpt2("gpt2_head26", max_batch=2)
        ids = self.random.integers(1, 60, (2, 6))
        ours, theirs = self.model(ids), other(ids)
        self.model(ids[:, :5])
        other(ids[:, :5])
        numpy.testing.assert_allclose(self.model(ids[:, 5:], first_pass=False), ours[:, 5:], atol=1e-4)
        numpy.testing.assert_allclose(other(ids[:, 5:], first_pass=False), theirs[:, 5:], atol=1e-4)

    def test_42_outputs_stay_as_they_were(self):
        first = self.model(self.ids(2, 5))
        copy = first.copy()
        self.model(self.ids(3, 8))
        self.model(self.ids(3, 1), first_pass=False)
        numpy.testing.assert_array_equal(first, copy)

    def test_masks_of_several_axes_and_other_values_are_refused_by_name(self):
        ids = self.ids(2, 3)
        for mask in (numpy.ones((2, 1, 3, 3)), numpy.ones((2, 3, 3))):
            with self.assertRaisesRegex(ValueError, "eet.ops"):
                self.model(ids, attention_mask=mask)
        for mask in (numpy.full((2, 3), 2), numpy.ones((2, 4)), numpy.full((2, 3), -10000.0)):
            with self.assertRaises(ValueError):
                self.model(ids, attention_mask=mask)

    def test_a_mask_cannot_change_its_mind(self):
        self.model(self.ids(1, 3), attention_mask=[[0, 1, 1]])
        with self.assertRaisesRegex(eet.ArgumentError, "computed before"):
            self.model(self.ids(1, 1), first_pass=False, attention_mask=[[1, 1, 1, 1]])

    def test_unknown_arguments_raise(self):
        with self.assertRaisesRegex(TypeError, "head_maks"):
            self.model(self.ids(1, 3), head_maks=None)
        with self.assertRaisesRegex(eet.UnsupportedError, "output_attentions"):
            self.model(self.ids(1, 3), output_attentions=True)
        self.model(self.ids(1, 3), return_dict=True, output_attentions=False)


HEADS = {
    "gpt2_sequence": ("EETGPT2ForSequenceClassification", {"sequence": "logits"}),
    "gpt2_token": ("EETGPT2ForTokenClassification", {"token": "logits"}),
    "gpt2_qa": ("EETGPT2ForQuestionAnswering", {"qa": "spans"}),
    "bert_pretraining": (
        "EETBertForPreTraining", {"mlm": "prediction_logits", "nsp": "seq_relationship_logits"}),
    "bert_decoder": ("EETBertLMHeadModel", {"lm": "logits"}),
    "bert_mlm": ("EETBertForMaskedLM", {"mlm": "logits"}),
    "bert_nsp": ("EETBertForNextSentencePrediction", {"nsp": "logits"}),
    "bert_sequence": ("EETBertForSequenceClassification", {"sequence": "logits"}),
    "bert_regression": ("EETBertForSequenceClassification", {"sequence": "logits"}),
    "bert_token": ("EETBertForTokenClassification", {"token": "logits"}),
    "bert_qa": ("EETBertForQuestionAnswering", {"qa": "spans"}),
    "roberta_mlm": ("EETRobertaForMaskedLM", {"mlm": "logits"}),
    "roberta_decoder": ("EETRobertaForCausalLM", {"lm": "logits"}),
    "roberta_sequence": ("EETRobertaForSequenceClassification", {"sequence": "logits"}),
    "roberta_token": ("EETRobertaForTokenClassification", {"token": "logits"}),
    "roberta_qa": ("EETRobertaForQuestionAnswering", {"qa": "spans"}),
    "xlmr_mlm": ("EETRobertaForMaskedLM", {"mlm": "logits"}),
    "xlmr_sequence": ("EETRobertaForSequenceClassification", {"sequence": "logits"}),
    "camembert_token": ("EETRobertaForTokenClassification", {"token": "logits"}),
    "distilbert_mlm": ("EETDistilBertForMaskedLM", {"mlm": "logits"}),
    "distilbert_sequence": ("EETDistilBertForSequenceClassification", {"sequence": "logits"}),
    "distilbert_token": ("EETDistilBertForTokenClassification", {"token": "logits"}),
    "distilbert_qa": ("EETDistilBertForQuestionAnswering", {"qa": "spans"}),
}  # fmt: skip
AUTOS = {
    "lm": "AutoModelForCausalLM",
    "mlm": "AutoModelForMaskedLM",
    "nsp": "AutoModelForNextSentencePrediction",
    "sequence": "AutoModelForSequenceClassification",
    "token": "AutoModelForTokenClassification",
    "qa": "AutoModelForQuestionAnswering",
}


class Heads(unittest.TestCase):
    """The task classes, those of the original and the drop-in ones."""

    def check(self, model, name, fields):
        golden = Golden(name, side="right")
        out = model(golden.ids, attention_mask=golden.mask, token_type_ids=golden.types)
        for head, field in fields.items():
            if field == "spans":
                both = numpy.stack([out.start_logits, out.end_logits], -1)
                self.assertLess(golden.error(head, both), 1, name)
            elif len(golden.data[head]) == golden.rows:
                self.assertLess(share(out[field], golden.data[head]), 1, name)
            else:
                self.assertLess(golden.error(head, out[field]), 1, name)

    def test_29_every_head_of_the_table_gives_what_the_library_gives(self):
        for name, (kind, fields) in HEADS.items():
            with self.subTest(name), gpt2(name, kind, max_batch=16) as model:
                self.check(model, name, fields)

    def test_29_drop_in_classes_give_the_same(self):
        for name, (_, fields) in HEADS.items():
            for head, field in fields.items():
                with self.subTest(name, head=head):
                    kind = AUTOS[head]
                    if name == "bert_pretraining":
                        field, kind = field, "AutoModelForPreTraining"
                    with gpt2(name, kind) as model:
                        self.check(model, name, {head: field})

    def test_29_multiple_choice_takes_three_axes(self):
        for name, kind in (
            ("bert_choice", "EETBertForMultipleChoice"),
            ("roberta_choice", "EETRobertaForMultipleChoice"),
            ("distilbert_choice", "EETDistilBertForMultipleChoice"),
            ("bert_choice", "AutoModelForMultipleChoice"),
        ):
            golden = Golden(name, side="right")
            half = golden.rows // 2
            with self.subTest(kind), gpt2(name, kind) as model:
                ids = golden.ids[: 2 * half].reshape(half, 2, -1)
                mask = golden.mask[: 2 * half].reshape(half, 2, -1)
                types = None if golden.types is None else golden.types[: 2 * half].reshape(half, 2, -1)
                out = model(ids, attention_mask=mask, token_type_ids=types)
                self.assertEqual(out.logits.shape, (half, 2))
                wanted = golden.data["choice"][: 2 * half].reshape(half, 2)
                self.assertLess(abs(out.logits - wanted).max(), 1e-4)

    def test_29_double_heads_read_the_columns_that_the_caller_gives(self):
        golden = Golden("gpt2_double", side="right")
        at = golden.data["at"] - golden.start[:-1]
        with gpt2("gpt2_double", "EETGPT2DoubleHeadsModel", max_batch=golden.rows) as model:
            out = model(golden.ids[:, None], attention_mask=golden.mask[:, None],
                        mc_token_ids=at[:, None])  # fmt: skip
            self.assertLess(golden.error("lm", out.logits[:, 0]), 1)
            self.assertLess(share(out.mc_logits, golden.data["choice"].reshape(-1, 1)), 1)

    def test_a_head_that_is_missing_is_named(self):
        with self.assertRaisesRegex(eet.UnsupportedError, "'sequence'.*mlm"):
            gpt2("bert_mlm", "EETBertForSequenceClassification")
        with self.assertRaisesRegex(eet.UnsupportedError, "bert"):
            gpt2("bert_tiny", "EETGPT2Model")


class Encoding(unittest.TestCase):
    """EETBertModel and its kin: masks, types, the pooler."""

    def test_28_hidden_states_and_pooler_are_those_of_transformers(self):
        golden = Golden("bert_tiny", side="right")
        with gpt2("bert_tiny", "EETBertModel", max_batch=golden.rows) as model:
            hidden, pooled = model(
                golden.ids, token_type_ids=golden.types, attention_mask=golden.mask
            )
            self.assertLess(golden.error("hidden", hidden), 1)
            self.assertLess(share(pooled, golden.data["pooler"]), 1)
            self.assertTrue((hidden[~golden.keep] == 0).all())

    def test_10_no_mask_is_a_mask_of_ones(self):
        with gpt2("bert_tiny", "EETBertModel") as model:
            ids = numpy.random.default_rng(3).integers(1, 80, (2, 9))
            numpy.testing.assert_array_equal(
                model(ids)[0], model(ids, attention_mask=numpy.ones((2, 9)))[0]
            )

    def test_30_roberta_positions_count_what_is_no_padding(self):
        for name, kind in (("roberta_mlm", "EETRobertaModel"), ("roberta_pad", "EETRobertaModel"),
                           ("distilbert_base", "EETDistilBertModel")):  # fmt: skip
            golden = Golden(name, side="right", pad=1)
            with self.subTest(name), gpt2(name, kind) as model:
                out = model(golden.ids, attention_mask=golden.mask, token_type_ids=golden.types)
                self.assertLess(golden.error("hidden", out.last_hidden_state), 1)

    def test_34_the_file_says_eps_width_and_activation(self):
        with gpt2("bert_tiny", "EETBertModel") as model:
            self.assertEqual(model.config.layer_norm_eps, model.model.fact("enc.norm_eps"))
            self.assertEqual(model.config.intermediate_size, model.model.fact("enc.ffn"))

    def test_outputs_are_named_indexed_and_unpacked(self):
        with gpt2("bert_tiny", "AutoModel") as model:
            out = model([[1, 2, 3]])
            hidden, pooled = out
            self.assertIs(out.last_hidden_state, hidden)
            self.assertIs(out["pooler_output"], pooled)
            self.assertIs(out[0], hidden)
            self.assertEqual(out.keys(), ["last_hidden_state", "pooler_output"])
            self.assertIsNone(out.get("logits"))
            with self.assertRaises(AttributeError):
                out.logits


class Threads(unittest.TestCase):
    def test_53_eight_threads_on_one_drop_in_model_give_the_serial_results(self):
        random = numpy.random.default_rng(5)
        prompts = [random.integers(1, 100, (1 + i % 3, 4 + i)) for i in range(8)]
        with gpt2("gpt2_tiny", "AutoModelForCausalLM", threads=1) as model:

            def work(ids):
                out = model(ids)
                new = out.logits[:, -1:].argmax(-1)
                logits = model(new, past_key_values=out.past_key_values).logits
                return logits, model.generate(ids, max_new_tokens=9)

            wanted = [work(ids) for ids in prompts]
            with ThreadPoolExecutor(8) as pool:
                for _ in range(5):
                    for found, (logits, tokens) in zip(pool.map(work, prompts), wanted):
                        numpy.testing.assert_array_equal(found[0], logits)
                        numpy.testing.assert_array_equal(found[1], tokens)


class Arrays(unittest.TestCase):
    def test_50_lists_numpy_and_torch_give_the_same(self):
        with gpt2("bert_tiny", "EETBertModel") as model:
            rows = [[4, 9, 2], [7, 7, 1]]
            ours = model(numpy.array(rows))[0]
            self.assertIsInstance(ours, numpy.ndarray)
            numpy.testing.assert_array_equal(model(rows)[0], ours)
            for dtype in (torch.int64, torch.int32):
                theirs = model(torch.tensor(rows, dtype=dtype))[0]
                self.assertIsInstance(theirs, torch.Tensor)
                numpy.testing.assert_array_equal(theirs.numpy(), ours)

    def test_data_type_is_that_of_what_comes_back(self):
        for kind, name in ((torch.float16, "float16"), ("bfloat16", "bfloat16")):
            model = gpt2("gpt2_tiny", data_type=kind)
            self.assertEqual(model(torch.tensor([[1, 2]])).dtype, getattr(torch, name))
        self.assertEqual(gpt2(data_type=numpy.float16)(numpy.array([[1]])).dtype, numpy.float16)
        with self.assertRaisesRegex(eet.ArgumentError, "int8"):
            gpt2(data_type="int8")


class Fairseq(unittest.TestCase):
    def test_26_language_models_of_every_kind(self):
        for name in ("fs012_lm", "fs012_lm_cfg", "fs012_lm_gpt", "fs010_lm", "fs062_lm",
                     "fs062_lm_out", "fs090_lm"):  # fmt: skip
            golden = Golden(name, side="left", pad=1)
            with self.subTest(name):
                model = EETTransformerDecoder.from_pretrained(
                    CHECKPOINTS / name, golden.rows, golden.width, torch.float32,
                    no_encoder_attn=True, device="cpu",
                )  # fmt: skip
                out = model(golden.ids, attention_mask=golden.mask, first_pass=True)
                self.assertLess(golden.error("lm", out.logits), 1)
                self.assertLess(
                    golden.error("hidden", model(golden.ids, attention_mask=golden.mask,
                                                 features_only=True)[0]), 1)  # fmt: skip
                model.close()

    def source(self, golden):
        start, tokens = golden.data["source_start"], golden.data["source_tokens"]
        made = numpy.full((golden.rows, int(numpy.diff(start).max())), 1)
        for row in range(golden.rows):
            made[row, : start[row + 1] - start[row]] = tokens[start[row] : start[row + 1]]
        return made

    def test_27_encoder_decoders_work_end_to_end(self):
        for name in ("fs062_nmt", "fs010_nmt", "fs012_nmt", "fs012_nmt_shared", "fs012_bart"):
            golden = Golden(name, side="right", pad=1)
            source = self.source(golden)
            with self.subTest(name):
                model = EETTransformerModel.from_pretrained(
                    CHECKPOINTS / name, golden.rows, device="cpu"
                )
                out = model(source, None, golden.ids).logits
                self.assertLess(golden.error("lm", out), 1)
                # The decoder alone, over what the encoder gives, column by column.
                decoder = EETTransformerDecoder.from_pretrained(
                    CHECKPOINTS / name, golden.rows, no_encoder_attn=False, device="cpu"
                )
                memory = model.encoder(source)
                steps = [decoder(golden.ids[:, :1], encoder_out=memory).logits]
                for i in range(1, 4):
                    ids = golden.ids[:, i : i + 1]
                    steps.append(decoder(ids, first_pass=False).logits)
                self.assertLess(share(numpy.concatenate(steps, 1), out[:, :4]), 1)

    def test_the_parts_of_an_encoder_decoder_are_those_of_the_model(self):
        for name in ("fs062_nmt", "fs012_nmt"):
            golden = Golden(name, side="right", pad=1)
            source = self.source(golden)
            model = EETTransformerModel.from_pretrained(
                CHECKPOINTS / name, golden.rows, device="cpu"
            )
            memory = model.encoder(source)
            hidden = memory["encoder_out"][0].swapaxes(0, 1)
            mask = 1 - memory["encoder_padding_mask"][0]
            x = model.embedding(golden.ids)
            for layer in model.layers:
                x = layer(x, golden.mask, encoder_out=hidden, encoder_attention_mask=mask)
            if model.model.fact("dec.final_norm"):
                x = model.layer_norm(x)
            with self.subTest(name):
                self.assertLess(golden.error("hidden", x), 1)

    def test_26_padding_is_left_out_without_a_mask(self):
        model = EETTransformerDecoder.from_pretrained(CHECKPOINTS / "fs012_lm", 2, device="cpu")
        ids = numpy.array([[1, 1, 5, 6], [4, 5, 6, 7]])
        out = model(ids).logits
        self.assertTrue((out[0, :2] == 0).all())
        numpy.testing.assert_array_equal(out[:1, 2:], model(ids[:1, 2:]).logits)

    def test_no_encoder_attn_is_held_to_the_checkpoint(self):
        with self.assertRaisesRegex(eet.UnsupportedError, "with cross"):
            EETTransformerDecoder.from_pretrained(
                CHECKPOINTS / "fs012_nmt", 1, no_encoder_attn=True, device="cpu"
            )


class Names(unittest.TestCase):
    def test_50_the_tables_are_reached_from_the_package_alone(self):
        code = (
            "import eet, sys; assert 'numpy' not in sys.modules\n"
            "assert eet.EETGPT2Model is eet.transformers.modeling_gpt2.EETGPT2Model\n"
            "assert eet.EETTransformerDecoder is eet.fairseq.transformer.EETTransformerDecoder\n"
            "assert eet.transformers.AutoModel and eet.cache.folder()\n"
            "assert not hasattr(eet, 'EETLlamaModel') and not hasattr(eet, 'nothing')\n"
            "assert 'torch' not in sys.modules and 'numpy' not in sys.modules\n"
        )
        subprocess.run([sys.executable, "-c", code], check=True)


if __name__ == "__main__":
    unittest.main()
