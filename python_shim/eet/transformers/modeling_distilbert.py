"""DistilBERT: the classes of the table. How they are called: `Encoder`."""

from __future__ import annotations

from ._classes import Encoder
from .._tables import TASKS

__all__ = [
    "EETDistilBertForMaskedLM",
    "EETDistilBertForMultipleChoice",
    "EETDistilBertForQuestionAnswering",
    "EETDistilBertForSequenceClassification",
    "EETDistilBertForTokenClassification",
    "EETDistilBertModel",
]


class EETDistilBertModel(Encoder):
    """``last_hidden_state`` (batch, columns, size)."""

    families, task = TASKS["EETDistilBertModel"]


class EETDistilBertForMaskedLM(Encoder):
    """``logits`` (batch, columns, vocabulary)."""

    families, task = TASKS["EETDistilBertForMaskedLM"]


class EETDistilBertForSequenceClassification(Encoder):
    """``logits`` (batch, labels)."""

    families, task = TASKS["EETDistilBertForSequenceClassification"]


class EETDistilBertForMultipleChoice(Encoder):
    """``logits`` (batch, choices); input_ids are (batch, choices, columns)."""

    families, task = TASKS["EETDistilBertForMultipleChoice"]


class EETDistilBertForTokenClassification(Encoder):
    """``logits`` (batch, columns, labels)."""

    families, task = TASKS["EETDistilBertForTokenClassification"]


class EETDistilBertForQuestionAnswering(Encoder):
    """``start_logits`` and ``end_logits`` (batch, columns)."""

    families, task = TASKS["EETDistilBertForQuestionAnswering"]
