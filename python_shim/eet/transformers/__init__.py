"""The Transformers table: the original's classes, and drop-in classes called as the library's.

    from eet.transformers import EETGPT2Model, EETBertModel, AutoModelForCausalLM
"""

from __future__ import annotations

from .auto import (
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForMultipleChoice,
    AutoModelForNextSentencePrediction,
    AutoModelForPreTraining,
    AutoModelForQuestionAnswering,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    Past,
)
from .modeling_bert import *  # noqa: F403
from .modeling_bert import __all__ as _bert
from .modeling_distilbert import *  # noqa: F403
from .modeling_distilbert import __all__ as _distilbert
from .modeling_gpt2 import *  # noqa: F403
from .modeling_gpt2 import __all__ as _gpt2
from .modeling_roberta import *  # noqa: F403
from .modeling_roberta import __all__ as _roberta

__all__ = [
    "AutoModel",
    "AutoModelForCausalLM",
    "AutoModelForMaskedLM",
    "AutoModelForMultipleChoice",
    "AutoModelForNextSentencePrediction",
    "AutoModelForPreTraining",
    "AutoModelForQuestionAnswering",
    "AutoModelForSeq2SeqLM",
    "AutoModelForSequenceClassification",
    "AutoModelForTokenClassification",
    "Past",
    *_bert,
    *_distilbert,
    *_gpt2,
    *_roberta,
]
