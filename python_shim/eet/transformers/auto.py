"""Drop-in classes: loaded and called as Transformers' own, whatever the family.

    model = eet.transformers.AutoModelForCausalLM.from_pretrained("folder")
    out = model(input_ids, attention_mask=mask)
    out.logits, out.past_key_values
    model.generate(input_ids, max_new_tokens=20)
"""

from __future__ import annotations

import os
from typing import Any, Optional, Union

from .._decoding import Rows
from .._errors import ArgumentError, StateError, UnsupportedError
from .._outputs import ModelOutput
from .._pool import Pool
from .._padded import Frame, as_mask, as_table, pack
from .._pretrained import Pretrained, fact, heads_wanted, refuse_unknown
from .._run import Wanted, fill_sources, run
from .._sources import dtype_name, open_pretrained, open_state
from .._generates import Generates
from ._classes import encoder_rows
from .._tables import AUTO

__all__ = ["Past", *AUTO]


class Past:
    """The keys and values of the rows of earlier calls: ``past_key_values``.

    A call with ``past_key_values=past`` appends to it. When nobody holds it any more, its room is
    used again.
    """

    _pool: Optional[Pool] = None

    def __init__(self, pool: Pool, rows: int, pad: int = -1) -> None:
        most, session = pool.take(rows)
        self.rows = Rows(session, most, counted=False, pad=pad)
        self._pool = pool

    def __del__(self) -> None:
        if self._pool is not None:
            self._pool.give(self.rows.most, self.rows.session)

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Columns until now.

        Parameters
        ----------
        layer_idx : int
            Not read: all layers have the same.

        Returns
        -------
        int
        """
        return self.rows.columns

    def get_max_cache_shape(self) -> Optional[int]:
        """No bound that Transformers would have to know.

        Returns
        -------
        None
        """
        return None

    def reorder_cache(self, beam_idx: object) -> None:
        """Row b becomes what row beam_idx[b] was.

        Parameters
        ----------
        beam_idx : array of int
        """
        self.rows.gather(self.rows.check_parents(beam_idx))

    def batch_select_indices(self, indices: object) -> None:
        """Keeps the rows that are named.

        Parameters
        ----------
        indices : array of int
        """
        self.reorder_cache(indices)

    def __len__(self) -> int:
        return self.rows.columns


class DropIn(Pretrained, Generates):
    """A model called as the library's own. Positions count columns, as there."""

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: Union[str, "os.PathLike[str]"],
        *,
        dtype: object = None,
        torch_dtype: object = None,
        device_map: Optional[str] = None,
        device: str = "auto",
        max_length: Optional[int] = None,
        threads: int = 0,
        revision: Optional[str] = None,
        local_files_only: bool = True,
        **convert: Any,
    ) -> Any:
        """Opens a model, converting it first where that is needed.

        Parameters
        ----------
        pretrained_model_name_or_path : path or str
            The folder of a checkpoint, a .eet file, or a name in the hub's local cache.
        dtype, torch_dtype : dtype, optional
            float32, float16 or bfloat16; default: the file's own.
        device_map, device : str
            "auto", "cpu", "cuda:1".
        max_length : int, optional
            Tokens that a row may have; default: the model's positions.
        threads : int
            Of the CPU; 0 takes those that the process may use.
        revision : str, optional
            Of a name in the hub's cache.
        local_files_only : bool
            Nothing is ever downloaded.
        **convert
            Options of `eet.convert`.

        Returns
        -------
        An object of this class.
        """
        kind = dtype if dtype is not None else torch_dtype
        task = AUTO[cls.__name__]
        model, config = open_pretrained(
            pretrained_model_name_or_path, heads_wanted(task), task.arch, kind,
            device_map or device, revision, **convert,
        )  # fmt: skip
        return cls(model, config, 1, None, max_length, dtype_name(kind), threads)

    @classmethod
    def from_torch(
        cls, module: Any, config: Any = None, *, dtype: object = None, device: str = "auto"
    ) -> Any:
        """Takes the weights of a module, or of a state dict.

        Parameters
        ----------
        module : torch.nn.Module or mapping of str to array
        config : mapping or config object, optional
            Default: the module's own.
        dtype : dtype, optional
        device : str

        Returns
        -------
        An object of this class.
        """
        model, found = open_state(module, config, heads_wanted(AUTO[cls.__name__]), dtype, device)
        return cls(model, found, 1, None, None, dtype_name(dtype))

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.task = AUTO[type(self).__name__]
        super().__init__(*arguments, **options)

    def __call__(
        self,
        input_ids: Any = None,
        *,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        past_key_values: Optional[Past] = None,
        use_cache: Optional[bool] = None,
        mc_token_ids: Any = None,
        encoder_outputs: Any = None,
        decoder_input_ids: Any = None,
        decoder_attention_mask: Any = None,
        encoder_hidden_states: Any = None,
        encoder_attention_mask: Any = None,
        **unknown: Any,
    ) -> ModelOutput:
        """Computes whole rows, or appends to those of `past_key_values`.

        Parameters
        ----------
        input_ids : array of int
            (batch, columns); (batch, choices, columns) for multiple choice.
        attention_mask : array, optional
            (batch, columns), with past_key_values also of all columns until now: 1 keeps, 0
            leaves out.
        token_type_ids, position_ids, mc_token_ids : array of int, optional
            As in Transformers.
        past_key_values : Past, optional
            Of an earlier output; it is appended to in place.
        use_cache : bool, optional
            False: no past_key_values in the output. Default: decoders give one.
        encoder_outputs, decoder_input_ids, decoder_attention_mask
            Of encoder-decoders, as in Transformers.
        encoder_hidden_states, encoder_attention_mask
            Of decoders with cross attention.

        Returns
        -------
        ModelOutput
            ``logits``, ``last_hidden_state``, ``pooler_output``, ... as in Transformers. Columns
            that are left out are zeros.
        """
        refuse_unknown(type(self).__name__, unknown)
        if self.model.has_encoder and self.model.has_decoder:
            return self._both(
                input_ids, attention_mask, encoder_outputs, decoder_input_ids,
                decoder_attention_mask, past_key_values, use_cache,
            )  # fmt: skip
        given = (encoder_outputs, decoder_input_ids, decoder_attention_mask)
        if any(one is not None for one in given):
            raise ArgumentError("encoder_outputs, decoder_input_ids and decoder_attention_mask are "
                                "for encoder-decoders, and the model is none")  # fmt: skip
        if (attention_mask is token_type_ids is position_ids is mc_token_ids is encoder_hidden_states
                is None and self._plain(input_ids)):  # fmt: skip
            found = self._at_once(input_ids, past_key_values, use_cache)
            if found is not None:
                return found
        source = (encoder_hidden_states, encoder_attention_mask)
        return self._one_stack(
            input_ids, attention_mask, token_type_ids, position_ids, mc_token_ids, source,
            past_key_values, use_cache,
        )  # fmt: skip

    forward = __call__

    def _at_once(
        self, ids: Any, past: Optional[Past], use_cache: Optional[bool]
    ) -> Optional[ModelOutput]:
        """A call for ids that are `_plain`; None where the rows of `past` are not."""
        if not self.model.has_decoder:
            return ModelOutput(**self._whole("encode", ids, self.session))
        rows, columns = ids.shape
        if past is None and use_cache is False:
            most, session = self.pool.take(rows)
            try:
                return ModelOutput(**self._whole("step", ids, session), past_key_values=None)
            finally:
                self.pool.give(most, session)
        past = self._past(past, rows)
        if not past.rows.straight(rows):
            return None
        found = self._whole("step", ids, past.rows.session)
        past.rows.advance(columns)
        return ModelOutput(**found, past_key_values=None if use_cache is False else past)

    def _one_stack(
        self, input_ids: Any, mask: Any, types: Any, positions: Any, columns: Any, source: Any,
        past: Optional[Past], use_cache: Optional[bool],
    ) -> ModelOutput:  # fmt: skip
        """A call of an encoder or a decoder; `source`: hidden states to look at, and their mask."""
        ids, lead = self._lead(input_ids)
        frame = Frame(input_ids, self.data_type)
        mask, types = self._flat(mask, lead), self._flat(types, lead)
        positions = self._flat(positions, lead)
        if not self.model.has_decoder:
            packed = encoder_rows(self, ids, mask, types, positions)
            found = self._outputs("encode", packed, frame)
            if self.task.choices:
                return self._choices(found, lead, ids.shape[1])
            return ModelOutput(**found)
        past = self._past(past, ids.shape[0])
        if source[0] is not None and past.rows.columns == 0:
            past.rows.sources = fill_sources(past.rows.session, *source)
        return self._append(past, frame, ids, lead, mask, types, positions, columns, use_cache)

    def _past(self, past: Optional[Past], rows: int) -> Past:
        if past is None:
            past = Past(self.pool, rows, self.pad if self.skips_pad else -1)
            past.rows.begin(rows)
            return past
        if not isinstance(past, Past):
            raise TypeError("past_key_values: not of an output of this model")
        if past.rows.session.model is not self.model:
            raise ArgumentError("past_key_values: of another model")
        if not past.rows.slots and past.rows.columns == 0:
            past.rows.begin(rows)
        return past

    def _append(
        self, past: Past, frame: Frame, ids: Any, lead: Any, mask: Any, types: Any,
        positions: Any, columns: Any, use_cache: Optional[bool], **more: Any,
    ) -> ModelOutput:  # fmt: skip
        rows = past.rows
        packed = rows.pack(ids, mask, types, positions)
        at = None
        if self.task.choices:
            table = None if columns is None else as_table(columns, "mc_token_ids", len(lead))
            at = packed.find([-1] * ids.shape[0] if table is None else table.reshape(-1).tolist())
        found = self._outputs(
            "step", packed, frame, rows.sequence(packed), rows.source(packed), at, rows.session
        )
        rows.advance(ids.shape[1])
        found.update(more)
        found["past_key_values"] = None if use_cache is False else past
        return self._choices(found, lead, ids.shape[1]) if self.task.choices else ModelOutput(**found)

    def _both(
        self, input_ids: Any, mask: Any, encoder_outputs: Any, decoder_ids: Any,
        decoder_mask: Any, past: Optional[Past], use_cache: Optional[bool],
    ) -> ModelOutput:  # fmt: skip
        """A call of an encoder-decoder."""
        if decoder_ids is None:
            if input_ids is None:
                raise ArgumentError("decoder_input_ids are wanted")
            decoder_ids = self._shifted(input_ids)
        ids, lead = self._lead(decoder_ids, "decoder_input_ids")
        frame = Frame(decoder_ids, self.data_type)
        held = self._past(past, ids.shape[0])
        hidden = None
        if held.rows.columns == 0:
            hidden = encoder_outputs
            if hidden is None:
                hidden = self.encode(input_ids, attention_mask=mask)
            elif isinstance(hidden, (tuple, list)) or hasattr(hidden, "last_hidden_state"):
                hidden = hidden[0]
            held.rows.sources = fill_sources(held.rows.session, hidden, mask)
        found = self._append(
            held, frame, ids, lead, decoder_mask, None, None, None, use_cache,
            encoder_last_hidden_state=hidden,
        )  # fmt: skip
        return found

    def _shifted(self, input_ids: Any) -> Any:
        """What BART's decoder reads when it is given nothing: input_ids, one to the right."""
        start = int(fact(self.model, "dec.start", -1))
        if start < 0:
            raise ArgumentError("decoder_input_ids are wanted: the model has no start token")
        ids = as_table(input_ids, "input_ids")
        shifted = ids.copy()
        shifted[:, 1:] = ids[:, :-1]
        shifted[:, 0] = start
        return Frame(input_ids).ids(shifted)

    def encode(self, input_ids: Any, *, attention_mask: Any = None) -> Any:
        """The encoder of an encoder-decoder, as ``get_encoder()`` there.

        Parameters
        ----------
        input_ids : array of int
            (batch, columns).
        attention_mask : array, optional
            1 keeps, 0 leaves out.

        Returns
        -------
        array
            (batch, columns, size).
        """
        if not self.model.has_encoder:
            raise UnsupportedError("the model has no encoder")
        ids = as_table(input_ids, "input_ids")
        keep = None
        if attention_mask is not None:
            keep = as_mask(attention_mask, ids.shape[0], (ids.shape[1],))
        packed = pack(ids, keep)
        if packed.at is not None and not fact(self.model, "enc.pos.skip_pad", False):
            import numpy

            packed.positions = packed.choose(numpy.arange(ids.shape[1], dtype=numpy.int32)[None])
        frame = Frame(input_ids, self.data_type)
        (hidden,) = run(self.session, "encode", packed, [Wanted(-1)], frame)
        return packed.spread(frame, hidden)


def _class(name: str) -> type[DropIn]:
    what = ", ".join(o.name for o in AUTO[name].outputs)
    return type(name, (DropIn,), {"__doc__": f"Transformers' {name}: gives {what}.",
                                  "__module__": __name__})  # fmt: skip


AutoModel = _class("AutoModel")
AutoModelForCausalLM = _class("AutoModelForCausalLM")
AutoModelForMaskedLM = _class("AutoModelForMaskedLM")
AutoModelForPreTraining = _class("AutoModelForPreTraining")
AutoModelForNextSentencePrediction = _class("AutoModelForNextSentencePrediction")
AutoModelForSequenceClassification = _class("AutoModelForSequenceClassification")
AutoModelForMultipleChoice = _class("AutoModelForMultipleChoice")
AutoModelForTokenClassification = _class("AutoModelForTokenClassification")
AutoModelForQuestionAnswering = _class("AutoModelForQuestionAnswering")
AutoModelForSeq2SeqLM = _class("AutoModelForSeq2SeqLM")
