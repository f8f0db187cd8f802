"""RoBERTa, XLM-R and CamemBERT: the classes of the table. How they are called: `Encoder`."""

from __future__ import annotations

from ._classes import Encoder
from .._tables import TASKS

__all__ = [
    "EETRobertaForCausalLM",
    "EETRobertaForMaskedLM",
    "EETRobertaForMultipleChoice",
    "EETRobertaForQuestionAnswering",
    "EETRobertaForSequenceClassification",
    "EETRobertaForTokenClassification",
    "EETRobertaModel",
]


class EETRobertaModel(Encoder):
    """``last_hidden_state`` (batch, columns, size), ``pooler_output`` (batch, size)."""

    families, task = TASKS["EETRobertaModel"]


class EETRobertaForCausalLM(Encoder):
    """``logits`` (batch, columns, vocabulary)."""

    families, task = TASKS["EETRobertaForCausalLM"]


class EETRobertaForMaskedLM(Encoder):
    """``logits`` (batch, columns, vocabulary)."""

    families, task = TASKS["EETRobertaForMaskedLM"]


class EETRobertaForSequenceClassification(Encoder):
    """``logits`` (batch, labels)."""

    families, task = TASKS["EETRobertaForSequenceClassification"]


class EETRobertaForMultipleChoice(Encoder):
    """``logits`` (batch, choices); input_ids are (batch, choices, columns)."""

    families, task = TASKS["EETRobertaForMultipleChoice"]


class EETRobertaForTokenClassification(Encoder):
    """``logits`` (batch, columns, labels)."""

    families, task = TASKS["EETRobertaForTokenClassification"]


class EETRobertaForQuestionAnswering(Encoder):
    """``start_logits`` and ``end_logits`` (batch, columns)."""

    families, task = TASKS["EETRobertaForQuestionAnswering"]
