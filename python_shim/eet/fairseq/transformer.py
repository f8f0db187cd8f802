"""The Fairseq table: decoders, and encoders with decoders.

    from eet.fairseq.transformer import EETTransformerDecoder
    model = EETTransformerDecoder.from_pretrained(folder, max_batch=4, full_seq_len=512)
    logits = model(tokens, first_pass=True).logits
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional, Union

from .._decoding import Rows
from .._errors import ArgumentError, UnsupportedError
from .._layers import Attention, Embedding, Feedforward, Layer, LayerNorm, Views
from .._outputs import ModelOutput
from .._padded import Frame, as_table, pack
from .._pretrained import Pretrained, fact, refuse_unknown
from .._run import Wanted, fill_sources, run
from .._sources import dtype_name, open_fairseq, open_pretrained
from .._generates import Generates
from ..transformers._classes import pick_device
from .._tables import Output, Task

__all__ = [
    "EETTransformerAttention",
    "EETTransformerDecoder",
    "EETTransformerDecoderLayer",
    "EETTransformerEmbedding",
    "EETTransformerFeedforward",
    "EETTransformerLayerNorm",
    "EETTransformerModel",
]

_Path = Union[str, "os.PathLike[str]"]
BEST = "checkpoint_best.pt"

LOGITS = Task((Output("logits", ("lm",), "tokens"),))
FEATURES = Task((Output("last_hidden_state", ("",), "tokens"),))


class EETTransformerDecoder(Pretrained, Generates, Views):
    """A decoder of Fairseq that keeps its rows between calls.

    The padding id (1, unless the dictionary says otherwise) is left out wherever it stands:
    positions count the other tokens, as Fairseq's do.
    """

    task = LOGITS

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        if not self.model.has_decoder:
            raise UnsupportedError(f"{type(self).__name__}: the model has no decoder")
        self.pad = int(fact(self.model, "dec.tok.pad", -1))
        self.rows = Rows(self.session, self.max_batch)

    @classmethod
    def from_pretrained(
        cls,
        model_id_or_path: _Path,
        max_batch: int = 1,
        full_seq_len: Optional[int] = None,
        data_type: object = "float32",
        no_encoder_attn: Optional[bool] = None,
        *,
        device_id: Optional[int] = None,
        device: str = "auto",
        max_seq_len: Optional[int] = None,
        threads: int = 0,
        **convert: Any,
    ) -> Any:
        """Opens a model, converting it first where that is needed.

        Parameters
        ----------
        model_id_or_path : path or str
            A .eet file, a checkpoint, or a folder with checkpoint_best.pt and dict.txt.
        max_batch : int
            Rows that there may be at once.
        full_seq_len : int, optional
            Tokens of the longest prompt. Rows grow to the model's positions all the same.
        data_type : dtype
            float32, float16 or bfloat16, of torch, of NumPy or by name; None: the file's own.
        no_encoder_attn : bool, optional
            What to insist on: True, no cross attention; False, with it. Default: as it is.
        device_id : int, optional
            Number of a CUDA device, -1 for the CPU.
        device : str
            "auto", "cpu", "cuda:1".
        max_seq_len : int, optional
            Tokens that a row may have; default: the model's positions.
        threads : int
            Of the CPU; 0 takes those that the process may use.
        **convert
            Options of `eet.convert`.

        Returns
        -------
        An object of this class.
        """
        if (Path(model_id_or_path) / BEST).is_file():
            convert.setdefault("weights", BEST)
        model, config = open_pretrained(
            model_id_or_path, [("lm",)], "", data_type, pick_device(device, device_id), **convert
        )
        if no_encoder_attn is not None and no_encoder_attn == model.has_cross:
            words = "with" if model.has_cross else "without"
            model.close()
            raise UnsupportedError(
                f"no_encoder_attn={no_encoder_attn}: the decoder is one {words} cross attention"
            )
        return cls(
            model, config, max_batch, full_seq_len, max_seq_len, dtype_name(data_type), threads
        )

    from_fairseq_pretrained = from_pretrained

    @classmethod
    def from_torch(
        cls,
        torch_decoder: Any,
        dictionary: Any,
        args: Any,
        config: Optional[Mapping[str, Any]] = None,
        no_encoder_attn: Optional[bool] = None,
        *,
        device: str = "auto",
        threads: int = 0,
    ) -> Any:
        """Takes the weights of a module of Fairseq in memory.

        Parameters
        ----------
        torch_decoder : torch.nn.Module
            A decoder, or a whole model.
        dictionary : fairseq.data.Dictionary
            Or a pair, of the source and the target.
        args : argparse.Namespace or config
            What the model was built with.
        config : mapping, optional
            ``max_batch``, ``full_seq_len``, ``data_type``, as in the original.
        no_encoder_attn : bool, optional
            Not read: the module has cross attention or not.
        device : str
        threads : int

        Returns
        -------
        An object of this class.
        """
        known = dict(config or {})
        kind = known.get("data_type", "float32")
        model = open_fairseq(torch_decoder, dictionary, args, kind, device)
        return cls(
            model, None, int(known.get("max_batch", 1)), known.get("full_seq_len"), None,
            dtype_name(kind), threads,
        )  # fmt: skip

    def __call__(
        self,
        input_ids: Any,
        first_pass: bool = True,
        reorder_state: Any = None,
        encoder_out: Any = None,
        features_only: bool = False,
        *,
        attention_mask: Any = None,
        **unknown: Any,
    ) -> ModelOutput:
        """Computes new columns.

        Parameters
        ----------
        input_ids : array of int
            (batch, columns).
        first_pass : bool
            True begins anew; False goes on with any number of columns.
        reorder_state : array of int, optional
            With first_pass=False: row b goes on from what row reorder_state[b] was.
        encoder_out : mapping or array, optional
            With the first pass: what an encoder of Fairseq gives (``encoder_out`` (tokens, batch,
            size) and ``encoder_padding_mask``), or an array (batch, tokens, size).
        features_only : bool
            Give the last hidden states in place of logits.
        attention_mask : array, optional
            1 keeps a column, 0 leaves it out; default: what is no padding.

        Returns
        -------
        ModelOutput
            ``logits`` (batch, columns, vocabulary), or ``last_hidden_state``; ``out[0]`` is it.
        """
        refuse_unknown(type(self).__name__, unknown)
        ids = as_table(input_ids, "input_ids")
        frame = Frame(input_ids, self.data_type)
        self._place(ids, first_pass, reorder_state)
        try:
            if encoder_out is not None and first_pass:
                hidden, keep = encoder_states(encoder_out)
                self.rows.sources = fill_sources(self.session, hidden, keep)[: ids.shape[0]]
            return self._step(ids, frame, features_only, attention_mask)
        except BaseException:
            if first_pass:
                self.rows.reset()
            raise

    forward = __call__

    def _step(self, ids: Any, frame: Frame, features_only: bool, mask: Any) -> ModelOutput:
        if mask is None and self.pad >= 0:
            keep = ids != self.pad
            mask = None if keep.all() else keep
        packed = self.rows.pack(ids, mask)
        self.task = FEATURES if features_only else LOGITS
        found = self._outputs(
            "step", packed, frame, self.rows.sequence(packed), self.rows.source(packed)
        )
        self.rows.advance(ids.shape[1])
        return ModelOutput(**found)

    def max_positions(self) -> int:
        """Tokens that a row may have.

        Returns
        -------
        int
        """
        return self.max_seq_len

    max_decoder_positions = max_positions


def encoder_states(encoder_out: Any) -> tuple[Any, Any]:
    """What an encoder of Fairseq gives, as (batch, tokens, size) and a mask that keeps with 1.

    Parameters
    ----------
    encoder_out : mapping or array

    Returns
    -------
    hidden : array
    keep : array or None
    """
    if not isinstance(encoder_out, Mapping):
        return encoder_out, None
    hidden, masks = encoder_out["encoder_out"], encoder_out.get("encoder_padding_mask")
    if isinstance(hidden, (list, tuple)):
        hidden = hidden[0]
    if isinstance(masks, (list, tuple)):
        masks = masks[0] if masks else None
    keep = None if masks is None else masks == 0
    return hidden.swapaxes(0, 1), keep


class EETTransformerModel(EETTransformerDecoder):
    """An encoder with its decoder, e.g. a translation.

    ``model(src_tokens, src_lengths, prev_output_tokens)`` as Fairseq's, or step by step: the
    source with the first pass alone, then ``first_pass=False``.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        if not self.model.has_encoder:
            raise UnsupportedError(f"{type(self).__name__}: the model has no encoder")

    def encoder(self, src_tokens: Any, src_lengths: Any = None) -> dict[str, list[Any]]:
        """Runs the encoder.

        Parameters
        ----------
        src_tokens : array of int
            (batch, columns), padded with the padding id on any side.
        src_lengths : array of int, optional
            Not read: the padding tells.

        Returns
        -------
        dict
            As Fairseq's encoders: ``encoder_out`` [(tokens, batch, size)],
            ``encoder_padding_mask`` [(batch, tokens)], True at padding.
        """
        ids = as_table(src_tokens, "src_tokens")
        frame = Frame(src_tokens, self.data_type)
        keep = ids != int(fact(self.model, "enc.tok.pad", -1))
        packed = pack(ids, keep)
        (hidden,) = run(self.session, "encode", packed, [Wanted(-1)], frame)
        states = packed.spread(frame, hidden)
        return {
            "encoder_out": [states.swapaxes(0, 1)],
            "encoder_padding_mask": [frame.index(~keep)],
            "encoder_embedding": [],
            "encoder_states": [],
            "src_tokens": [],
            "src_lengths": [],
        }

    def __call__(  # type: ignore[override]
        self,
        src_tokens: Any = None,
        src_lengths: Any = None,
        prev_output_tokens: Any = None,
        first_pass: bool = True,
        reorder_state: Any = None,
        features_only: bool = False,
        **unknown: Any,
    ) -> ModelOutput:
        """Computes new columns of the target.

        Parameters
        ----------
        src_tokens : array of int
            (batch, columns): the source, with the first pass.
        src_lengths : array of int, optional
            Not read: the padding tells.
        prev_output_tokens : array of int
            (batch, columns) of the target.
        first_pass, reorder_state, features_only
            As of `EETTransformerDecoder`.

        Returns
        -------
        ModelOutput
            ``logits`` (batch, columns, vocabulary), or ``last_hidden_state``.
        """
        refuse_unknown(type(self).__name__, unknown)
        if prev_output_tokens is None:
            raise ArgumentError("prev_output_tokens are wanted")
        ids = as_table(prev_output_tokens, "prev_output_tokens")
        frame = Frame(prev_output_tokens, self.data_type)
        self._place(ids, first_pass, reorder_state)
        try:
            if first_pass:
                if src_tokens is None:
                    raise ArgumentError("src_tokens are wanted with the first pass")
                source = as_table(src_tokens, "src_tokens")
                if source.shape[0] != ids.shape[0]:
                    raise ArgumentError(
                        f"{source.shape[0]} rows of src_tokens, {ids.shape[0]} of the target"
                    )
                keep = source != int(fact(self.model, "enc.tok.pad", -1))
                packed = pack(source, keep)
                self.session.source(packed.tokens, start=packed.start, source=packed.live)
                self.rows.sources = list(range(ids.shape[0]))
            return self._step(ids, frame, features_only, None)
        except BaseException:
            if first_pass:
                self.rows.reset()
            raise

    forward = __call__  # type: ignore[assignment]


class EETTransformerAttention(Attention):
    """Self attention with the norm and the residual of its block: a view on a loaded model (`Attention`)."""


class EETTransformerFeedforward(Feedforward):
    """The feed-forward part with the norm and the residual of its block: a view on a loaded model (`Feedforward`)."""


class EETTransformerEmbedding(Embedding):
    """Embeds ids: a view on a loaded model (`Embedding`)."""


class EETTransformerDecoderLayer(Layer):
    """A block: a view on a loaded model (`Layer`)."""


class EETTransformerLayerNorm(LayerNorm):
    """A norm: a view on a loaded model (`LayerNorm`)."""
