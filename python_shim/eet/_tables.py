"""The classes of the Transformers table: which heads of a model they want, and what their outputs
are called. A class is a line; none has code of its own."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["AUTO", "TASKS", "Output", "Task"]


class Output(NamedTuple):
    """A value of a call.

    Attributes
    ----------
    name : str
        As Transformers calls it.
    heads : tuple of str
        The head that gives it: the first of these that the model has; "" is the hidden states.
    shape : str
        "tokens" (batch, columns, size), "rows" (batch, size), "choices" (batch, choices), "spans"
        two outputs (batch, columns).
    optional : bool
        None where the model has no such head; else the model is refused.
    """

    name: str
    heads: tuple[str, ...]
    shape: str
    optional: bool = False


class Task(NamedTuple):
    """What a class computes.

    Attributes
    ----------
    outputs : tuple of Output
    arch : str
        Architecture to convert a checkpoint as, where it lacks a head that can be tied.
    choices : bool
        Its input is (batch, choices, columns).
    """

    outputs: tuple[Output, ...]
    arch: str = ""
    choices: bool = False


_HIDDEN = Output("last_hidden_state", ("",), "tokens")
_POOLED = Output("pooler_output", ("pooler",), "rows", optional=True)


def _task(*outputs: Output, arch: str = "", choices: bool = False) -> Task:
    return Task(outputs, arch, choices)


BASE = _task(_HIDDEN)
POOLED = _task(_HIDDEN, _POOLED)
CAUSAL = _task(Output("logits", ("lm", "mlm"), "tokens"))
MASKED = _task(Output("logits", ("mlm",), "tokens"))
SEQUENCE = _task(Output("logits", ("sequence",), "rows"))
TOKEN = _task(Output("logits", ("token",), "tokens"))
CHOICE = _task(Output("logits", ("choice",), "choices"), choices=True)
NEXT = _task(Output("logits", ("nsp",), "rows"))
ANSWER = _task(Output("logits", ("qa",), "spans"))
PRETRAINING = _task(
    Output("prediction_logits", ("mlm",), "tokens"),
    Output("seq_relationship_logits", ("nsp",), "rows"),
)
DOUBLE = _task(
    Output("logits", ("lm",), "tokens"), Output("mc_logits", ("choice",), "choices"), choices=True
)

# class: (families, what it computes). Families are as eet-inspect names them.
TASKS: dict[str, tuple[tuple[str, ...], Task]] = {
    "EETGPT2Model": (("gpt2",), BASE),
    "EETGPT2LMHeadModel": (("gpt2",), CAUSAL._replace(arch="GPT2LMHeadModel")),
    "EETGPT2DoubleHeadsModel": (("gpt2",), DOUBLE),
    "EETGPT2ForSequenceClassification": (("gpt2",), SEQUENCE),
    "EETGPT2ForTokenClassification": (("gpt2",), TOKEN),
    "EETGPT2ForQuestionAnswering": (("gpt2",), ANSWER),
    "EETBertModel": (("bert",), POOLED),
    "EETBertForPreTraining": (("bert",), PRETRAINING),
    "EETBertLMHeadModel": (("bert",), CAUSAL),
    "EETBertForMaskedLM": (("bert",), MASKED),
    "EETBertForNextSentencePrediction": (("bert",), NEXT),
    "EETBertForSequenceClassification": (("bert",), SEQUENCE),
    "EETBertForMultipleChoice": (("bert",), CHOICE),
    "EETBertForTokenClassification": (("bert",), TOKEN),
    "EETBertForQuestionAnswering": (("bert",), ANSWER),
    "EETRobertaModel": (("roberta", "xlm-roberta", "camembert"), POOLED),
    "EETRobertaForCausalLM": (("roberta", "xlm-roberta", "camembert"), CAUSAL),
    "EETRobertaForMaskedLM": (("roberta", "xlm-roberta", "camembert"), MASKED),
    "EETRobertaForSequenceClassification": (("roberta", "xlm-roberta", "camembert"), SEQUENCE),
    "EETRobertaForMultipleChoice": (("roberta", "xlm-roberta", "camembert"), CHOICE),
    "EETRobertaForTokenClassification": (("roberta", "xlm-roberta", "camembert"), TOKEN),
    "EETRobertaForQuestionAnswering": (("roberta", "xlm-roberta", "camembert"), ANSWER),
    "EETDistilBertModel": (("distilbert",), BASE),
    "EETDistilBertForMaskedLM": (("distilbert",), MASKED),
    "EETDistilBertForSequenceClassification": (("distilbert",), SEQUENCE),
    "EETDistilBertForMultipleChoice": (("distilbert",), CHOICE),
    "EETDistilBertForTokenClassification": (("distilbert",), TOKEN),
    "EETDistilBertForQuestionAnswering": (("distilbert",), ANSWER),
}

# class: what it computes, whatever the family.
AUTO: dict[str, Task] = {
    "AutoModel": POOLED,
    "AutoModelForCausalLM": CAUSAL,
    "AutoModelForMaskedLM": MASKED,
    "AutoModelForPreTraining": PRETRAINING,
    "AutoModelForNextSentencePrediction": NEXT,
    "AutoModelForSequenceClassification": SEQUENCE,
    "AutoModelForMultipleChoice": CHOICE,
    "AutoModelForTokenClassification": TOKEN,
    "AutoModelForQuestionAnswering": ANSWER,
    "AutoModelForSeq2SeqLM": CAUSAL,
}
