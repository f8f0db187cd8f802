"""BERT: the classes of the table. How they are called: `Encoder`."""

from __future__ import annotations

from .._layers import Attention, Embedding, Feedforward, Layer, Stack
from ._classes import Encoder
from .._tables import TASKS

__all__ = [
    "EETBertAttention",
    "EETBertEmbedding",
    "EETBertEncoder",
    "EETBertEncoderLayer",
    "EETBertFeedforward",
    "EETBertForMaskedLM",
    "EETBertForMultipleChoice",
    "EETBertForNextSentencePrediction",
    "EETBertForPreTraining",
    "EETBertForQuestionAnswering",
    "EETBertForSequenceClassification",
    "EETBertForTokenClassification",
    "EETBertLMHeadModel",
    "EETBertModel",
]


class EETBertModel(Encoder):
    """``last_hidden_state`` (batch, columns, size), ``pooler_output`` (batch, size)."""

    families, task = TASKS["EETBertModel"]


class EETBertForPreTraining(Encoder):
    """``prediction_logits`` (batch, columns, vocabulary), ``seq_relationship_logits`` (batch, 2)."""

    families, task = TASKS["EETBertForPreTraining"]


class EETBertLMHeadModel(Encoder):
    """``logits`` (batch, columns, vocabulary)."""

    families, task = TASKS["EETBertLMHeadModel"]


class EETBertForMaskedLM(Encoder):
    """``logits`` (batch, columns, vocabulary)."""

    families, task = TASKS["EETBertForMaskedLM"]


class EETBertForNextSentencePrediction(Encoder):
    """``logits`` (batch, 2)."""

    families, task = TASKS["EETBertForNextSentencePrediction"]


class EETBertForSequenceClassification(Encoder):
    """``logits`` (batch, labels)."""

    families, task = TASKS["EETBertForSequenceClassification"]


class EETBertForMultipleChoice(Encoder):
    """``logits`` (batch, choices); input_ids are (batch, choices, columns)."""

    families, task = TASKS["EETBertForMultipleChoice"]


class EETBertForTokenClassification(Encoder):
    """``logits`` (batch, columns, labels)."""

    families, task = TASKS["EETBertForTokenClassification"]


class EETBertForQuestionAnswering(Encoder):
    """``start_logits`` and ``end_logits`` (batch, columns)."""

    families, task = TASKS["EETBertForQuestionAnswering"]


class EETBertAttention(Attention):
    """Self attention with the norm and the residual of its block: a view on a loaded model (`Attention`)."""


class EETBertFeedforward(Feedforward):
    """The feed-forward part with the norm and the residual of its block: a view on a loaded model (`Feedforward`)."""


class EETBertEmbedding(Embedding):
    """Embeds ids: a view on a loaded model (`Embedding`)."""


class EETBertEncoderLayer(Layer):
    """A block: a view on a loaded model (`Layer`)."""


class EETBertEncoder(Stack):
    """All blocks: a view on a loaded model (`Stack`)."""
