"""``generate`` of the class tables: Transformers' keywords, the engine's loop.

The keywords are those of `KEYWORDS`; any other raises, so that nothing is silently left out.
Where the folder of the checkpoint has a generation_config.json, its values are the defaults.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Optional

from ._errors import ArgumentError, LimitError, UnsupportedError
from ._outputs import ModelOutput
from ._padded import Frame, Packed, as_mask, as_table, pack
from ._search import Found, search

__all__ = ["KEYWORDS", "Generates"]

# keyword: what it is when nobody says. None: see `_plan`.
KEYWORDS: dict[str, Any] = {
    "max_new_tokens": None,
    "max_length": None,
    "min_new_tokens": None,
    "min_length": 0,
    "do_sample": False,
    "temperature": 1.0,
    "top_k": 50,
    "top_p": 1.0,
    "repetition_penalty": 1.0,
    "num_beams": 1,
    "length_penalty": 1.0,
    "early_stopping": False,
    "num_return_sequences": 1,
    "eos_token_id": ...,
    "pad_token_id": None,
    "bos_token_id": None,
    "decoder_start_token_id": None,
    "forced_eos_token_id": None,
    "seed": None,
    "return_dict_in_generate": False,
    "use_cache": True,
}
# What a generation_config.json may say and must not, beside these values.
NEUTRAL: dict[str, tuple[Any, ...]] = {
    "no_repeat_ngram_size": (0, None),
    "encoder_no_repeat_ngram_size": (0, None),
    "encoder_repetition_penalty": (1.0, None),
    "bad_words_ids": (None,),
    "force_words_ids": (None,),
    "forced_bos_token_id": (None,),
    "suppress_tokens": (None,),
    "begin_suppress_tokens": (None,),
    "sequence_bias": (None,),
    "constraints": (None,),
    "num_beam_groups": (1, None),
    "diversity_penalty": (0.0, None),
    "penalty_alpha": (None, 0),
    "typical_p": (1.0, None),
    "min_p": (None, 0.0),
    "epsilon_cutoff": (0.0, None),
    "eta_cutoff": (0.0, None),
    "guidance_scale": (None, 1.0),
    "exponential_decay_length_penalty": (None,),
    "renormalize_logits": (False, None),
    "remove_invalid_values": (False, None),
}
# What a library's configuration class says where neither file does.
CLASS_DEFAULTS: dict[str, dict[str, Any]] = {"bart": {"forced_eos_token_id": 2}}
DEFAULT_LENGTH = 20  # Transformers' max_length
LEAST_MASS = 1e-30  # top_p: the likeliest token alone; 0 would be the engine's default
NO_TEXT = -1e9  # where Transformers begins the beams that have no text of their own yet


class Plan(NamedTuple):
    """The keywords of a call, settled."""

    given: Mapping[str, Any]
    new: int
    least: int
    beams: int
    copies: int
    ends: tuple[int, ...]
    pad: int


def _ids(value: Any) -> tuple[int, ...]:
    if value is None:
        return ()
    return (int(value),) if not isinstance(value, (list, tuple)) else tuple(int(v) for v in value)


class Generates:
    """Gives a class `generate`."""

    config: Any
    model: Any
    pool: Any
    data_type: str
    max_seq_len: int

    def _defaults(self) -> dict[str, Any]:
        """The folder's generation_config.json, where it has one."""
        found: Any = getattr(self.config, "generation", None)
        if not isinstance(found, dict):
            return {}
        found = {**CLASS_DEFAULTS.get(getattr(self.config, "model_type", ""), {}), **found}
        for key, values in NEUTRAL.items():
            if key in found and found[key] not in values:
                raise UnsupportedError(
                    f"generation_config.json says {key} = {found[key]}, which generate does not do"
                )
        return {key: found[key] for key in KEYWORDS if found.get(key) is not None}

    def _settle(self, given: dict[str, Any], prompt: int) -> Plan:
        """Reads the keywords. `prompt` is the prompt's width."""
        explicit = {key for key, value in given.items() if value is not None}
        for key in given:
            if key not in KEYWORDS:
                if given[key] in NEUTRAL.get(key, ()):
                    continue
                raise TypeError(
                    f"generate has no keyword {key!r}; it has: {', '.join(sorted(KEYWORDS))}"
                )
        said = {**KEYWORDS, **self._defaults(), **{k: given[k] for k in explicit}}
        for key in ("eos_token_id", "forced_eos_token_id"):  # None says something here
            if key in given:
                said[key] = given[key]
        ends = said["eos_token_id"]
        stack = "dec"
        if ends is ...:
            ends = self.model.fact(stack + ".tok.eos", -1)
            ends = None if ends < 0 else ends
        ends = _ids(ends)
        pad = said["pad_token_id"]
        if pad is None:
            pad = self.model.fact(stack + ".tok.pad", -1)
            pad = pad if pad >= 0 else (ends[0] if ends else 0)
        beams, copies = int(said["num_beams"]), int(said["num_return_sequences"])
        if beams < 1 or copies < 1:
            raise ArgumentError(f"num_beams is {beams}, num_return_sequences {copies}")
        if copies > beams and not said["do_sample"]:
            raise ArgumentError(
                f"num_return_sequences is {copies}: without do_sample it is at most num_beams, "
                f"{beams}"
            )
        if beams > 1 and said["do_sample"]:
            raise UnsupportedError("do_sample with num_beams: beams draw nothing here")
        return Plan(said, self._new(said, prompt), self._least(said, prompt), beams, copies, ends,
                    int(pad))  # fmt: skip

    def _new(self, said: Mapping[str, Any], prompt: int) -> int:
        """How many tokens at most."""
        if said["max_new_tokens"] is not None:
            new = int(said["max_new_tokens"])
        else:
            length = DEFAULT_LENGTH if said["max_length"] is None else int(said["max_length"])
            new = length - prompt
            if new < 1:
                raise ArgumentError(
                    f"the prompt has {prompt} columns, max_length is {length}; give max_new_tokens"
                )
        if new < 1:
            raise ArgumentError(f"max_new_tokens is {new}; 1 is the least")
        return new

    @staticmethod
    def _least(said: Mapping[str, Any], prompt: int) -> int:
        if said["min_new_tokens"] is not None:
            return int(said["min_new_tokens"])
        return max(int(said["min_length"] or 0) - prompt, 0)

    def _options(self, plan: Plan, rows: int) -> dict[str, Any]:
        """The engine's options."""
        said = plan.given
        found: dict[str, Any] = {
            "head": next(h.index for h in self.model.heads if h.name == "lm"),
            "max_new_tokens": plan.new,
            "min_new_tokens": min(plan.least, plan.new),
            "ignore_eos": True,
            "stop_token_ids": plan.ends,
            "repetition_penalty": float(said["repetition_penalty"]),
        }
        if plan.beams > 1:
            found.update(
                num_beams=plan.beams, early_stopping=said["early_stopping"],
                length_penalty=float(said["length_penalty"]),
                forced_token_ids=_ids(said["forced_eos_token_id"]),
            )  # fmt: skip
        elif said["do_sample"]:
            seed = said["seed"]
            found.update(
                temperature=float(said["temperature"]), top_k=int(said["top_k"] or 0),
                top_p=float(said["top_p"]) or LEAST_MASS, streams=list(range(rows)),
                seed=int.from_bytes(os.urandom(8), "little") if seed is None else int(seed),
            )  # fmt: skip
            if found["temperature"] <= 0:
                raise ArgumentError(f"temperature is {found['temperature']}; above 0 is wanted")
        return found

    def generate(
        self,
        input_ids: Any = None,
        *,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        decoder_input_ids: Any = None,
        generation_config: Any = None,
        **keywords: Any,
    ) -> Any:
        """Generates tokens as Transformers' ``generate`` does.

        Parameters
        ----------
        input_ids : array of int
            (batch, columns): the prompt, padded on the left; an encoder's input where the model
            has one.
        attention_mask : array, optional
            1 keeps, 0 leaves out; default: what is no padding.
        token_type_ids : array of int, optional
            Not with beams or steps that would need new ones: refused where it is given.
        decoder_input_ids : array of int, optional
            Of encoder-decoders; default: decoder_start_token_id.
        generation_config : object or mapping, optional
            Keywords; those given directly win.
        **keywords
            max_new_tokens, max_length, min_new_tokens, min_length, do_sample, temperature, top_k,
            top_p, repetition_penalty, num_beams, length_penalty, early_stopping,
            num_return_sequences, eos_token_id, pad_token_id, bos_token_id,
            decoder_start_token_id, forced_eos_token_id, seed, return_dict_in_generate,
            use_cache.

        Returns
        -------
        array of int64
            (batch * num_return_sequences, columns): prompt and new tokens, padded on the right.
            With return_dict_in_generate a ModelOutput: ``sequences``, ``sequences_scores``.

        Raises
        ------
        TypeError
            Another keyword.
        eet.ArgumentError, eet.LimitError, eet.UnsupportedError
        """
        if not any(h.name == "lm" for h in self.model.heads) or not self.model.has_decoder:
            raise UnsupportedError("generate: the model has no decoder with a head 'lm'")
        if token_type_ids is not None:
            raise UnsupportedError("generate: token_type_ids of new tokens are not known")
        given = {**_config_keywords(generation_config), **keywords}
        if self.model.has_encoder:
            return self._generate_both(input_ids, attention_mask, decoder_input_ids, given)
        if input_ids is None:
            bos = given.get("bos_token_id")
            bos = self.model.fact("dec.tok.bos", -1) if bos is None else bos
            if bos < 0:
                raise ArgumentError("generate: input_ids are wanted")
            input_ids = [[bos]]
        ids = as_table(input_ids, "input_ids")
        plan = self._settle(given, ids.shape[1])
        keep = None
        if attention_mask is not None:
            keep = as_mask(attention_mask, ids.shape[0], (ids.shape[1],))
        elif plan.given["pad_token_id"] is not None and plan.pad not in plan.ends:
            keep = ids != plan.pad
        packed = pack(ids, keep)
        if len(packed.live) != ids.shape[0]:
            raise ArgumentError("generate: the mask leaves nothing of a row")
        return self._run_plan(plan, ids, packed, Frame(input_ids), None)

    def _generate_both(
        self, input_ids: Any, mask: Any, decoder_ids: Any, given: dict[str, Any]
    ) -> Any:
        """Generates with an encoder."""
        import numpy

        source = as_table(input_ids, "input_ids")
        if decoder_ids is None:
            start = given.get("decoder_start_token_id")
            start = self.model.fact("dec.start", -1) if start is None else int(start)
            if start < 0:
                raise ArgumentError("generate: decoder_input_ids or decoder_start_token_id is wanted")
            ids = numpy.full((source.shape[0], 1), start, dtype=numpy.int32)
        else:
            ids = as_table(decoder_ids, "decoder_input_ids")
        plan = self._settle(given, ids.shape[1])
        keep = None
        if mask is not None:
            keep = as_mask(mask, source.shape[0], (source.shape[1],))
        elif plan.pad not in plan.ends:
            keep = source != plan.pad
        packed = pack(source, keep)
        if len(packed.live) != source.shape[0]:
            raise ArgumentError("generate: the mask leaves nothing of a row")
        if packed.at is not None and not self.model.fact("enc.pos.skip_pad", False):
            packed.positions = packed.choose(
                numpy.arange(source.shape[1], dtype=numpy.int32)[None]
            )
        return self._run_plan(plan, ids, pack(ids), Frame(input_ids), packed)

    def _run_plan(
        self, plan: Plan, ids: Any, packed: Packed, frame: Frame, source: Optional[Packed]
    ) -> Any:
        """Runs the loop and puts its rows together."""
        rows = ids.shape[0]
        copies = plan.copies if plan.beams == 1 else 1
        longest = int(max(packed.start[1:] - packed.start[:-1])) + plan.new
        if longest > self.max_seq_len + 1:
            raise LimitError(
                f"{longest} tokens in a row with the prompt; the model takes {self.max_seq_len}"
            )
        most, session = self.pool.take(rows * copies * plan.beams)
        try:
            starts, tokens = _repeated(packed, copies)
            sources = None
            if source is not None:
                session.source(source.tokens, start=source.start, positions=source.positions)
                sources = [row // copies for row in range(rows * copies)]
            options = self._options(plan, rows * copies)
            found = search(session, tokens, starts, sources, **options)
        finally:
            self.pool.give(most, session)
        chosen = [one for row in found for one in _best(row, plan)]
        sequences = _together(ids, chosen, plan)
        if not plan.given["return_dict_in_generate"]:
            return frame.ids(sequences)
        scores = None
        if plan.beams > 1:
            scores = frame.zeros((len(chosen),))
            for index, one in enumerate(chosen):
                scores[index] = one.score
        return ModelOutput(sequences=frame.ids(sequences), sequences_scores=scores)


def _config_keywords(config: Any) -> dict[str, Any]:
    """The keywords of a GenerationConfig that differ from nothing."""
    if config is None:
        return {}
    if isinstance(config, Mapping):
        return dict(config)
    found = config.to_diff_dict() if hasattr(config, "to_diff_dict") else dict(vars(config))
    return {k: v for k, v in found.items() if k not in ("transformers_version", "_from_model_config")}


def _repeated(packed: Packed, copies: int) -> tuple[list[int], list[int]]:
    """The rows of a prompt, each so many times, behind one another."""
    starts, tokens = [0], []
    ends = packed.start.tolist()
    for row in range(packed.rows):
        part = packed.tokens[ends[row] : ends[row + 1]].tolist()
        for _ in range(copies):
            tokens.extend(part)
            starts.append(len(tokens))
    return starts, tokens


def _best(row: Sequence[Found], plan: Plan) -> list[Found]:
    """The texts of a row that are given back. Where all that there are is a forced id, Transformers
    gives it as often as beams are asked for."""
    count = plan.copies if plan.beams > 1 else 1
    chosen = list(row[:count])
    return chosen + [Found(chosen[-1].tokens, NO_TEXT)] * (count - len(chosen))


def _together(ids: Any, chosen: Sequence[Found], plan: Plan) -> Any:
    """Prompts with what was chosen, padded on the right."""
    import numpy

    width = max(len(one.tokens) for one in chosen)
    made = numpy.full((len(chosen), ids.shape[1] + width), plan.pad, dtype=numpy.int64)
    for row, one in enumerate(chosen):
        made[row, : ids.shape[1]] = ids[row // (len(chosen) // ids.shape[0])]
        made[row, ids.shape[1] : ids.shape[1] + len(one.tokens)] = one.tokens
        forced = plan.given["forced_eos_token_id"]
        if forced is not None and plan.beams == 1 and len(one.tokens) == plan.new:
            made[row, -1] = _ids(forced)[0]
    return made
