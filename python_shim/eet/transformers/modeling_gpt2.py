"""GPT-2: the classes of the original's table. How they are called: `Decoder`."""

from __future__ import annotations

from .._layers import Attention, Embedding, Feedforward, Layer, LayerNorm, Stack
from ._classes import Decoder
from .._tables import TASKS

__all__ = [
    "EETGPT2Attention",
    "EETGPT2Decoder",
    "EETGPT2DecoderLayer",
    "EETGPT2DoubleHeadsModel",
    "EETGPT2Embedding",
    "EETGPT2Feedforward",
    "EETGPT2ForQuestionAnswering",
    "EETGPT2ForSequenceClassification",
    "EETGPT2ForTokenClassification",
    "EETGPT2LMHeadModel",
    "EETGPT2Model",
    "EETLayerNorm",
]


class EETGPT2Model(Decoder):
    """Hidden states after the final norm: an array (batch, columns, size)."""

    families, task = TASKS["EETGPT2Model"]


class EETGPT2LMHeadModel(Decoder):
    """``logits`` (batch, columns, vocabulary), and `generate`."""

    families, task = TASKS["EETGPT2LMHeadModel"]


class EETGPT2DoubleHeadsModel(Decoder):
    """``logits`` (batch, choices, columns, vocabulary), ``mc_logits`` (batch, choices)."""

    families, task = TASKS["EETGPT2DoubleHeadsModel"]


class EETGPT2ForSequenceClassification(Decoder):
    """``logits`` (batch, labels)."""

    families, task = TASKS["EETGPT2ForSequenceClassification"]


class EETGPT2ForTokenClassification(Decoder):
    """``logits`` (batch, columns, labels)."""

    families, task = TASKS["EETGPT2ForTokenClassification"]


class EETGPT2ForQuestionAnswering(Decoder):
    """``start_logits`` and ``end_logits`` (batch, columns)."""

    families, task = TASKS["EETGPT2ForQuestionAnswering"]


class EETGPT2Attention(Attention):
    """Self attention with the norm and the residual of its block: a view on a loaded model (`Attention`)."""


class EETGPT2Feedforward(Feedforward):
    """The feed-forward part with the norm and the residual of its block: a view on a loaded model (`Feedforward`)."""


class EETGPT2Embedding(Embedding):
    """Embeds ids: a view on a loaded model (`Embedding`)."""


class EETGPT2DecoderLayer(Layer):
    """A block: a view on a loaded model (`Layer`)."""


class EETGPT2Decoder(Stack):
    """All blocks: a view on a loaded model (`Stack`)."""


class EETLayerNorm(LayerNorm):
    """A norm: a view on a loaded model (`LayerNorm`)."""
