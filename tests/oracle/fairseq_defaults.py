"""Compares converter/archs/fairseq_defaults.c with what Fairseq's own registry gives an architecture
of which nothing is said."""

import argparse
import logging
import pathlib
import re
import sys
import warnings

warnings.filterwarnings("ignore")
logging.disable(logging.CRITICAL)

from fairseq.models import ARCH_CONFIG_REGISTRY, ARCH_MODEL_NAME_REGISTRY
from fairseq.models.transformer_lm import base_lm_architecture

SOURCE = pathlib.Path(__file__).resolve().parents[2] / "converter/archs/fairseq_defaults.c"
MODELS = ("transformer_lm", "transformer", "roberta", "bart", "masked_lm")
LATER = ("max_source_positions", "max_target_positions", "max_positions")  # set by build_model


def read_tables():
    """Rows by table, and the architectures: (table, base)."""
    text = SOURCE.read_text()
    tables = {}
    for name, body in re.findall(r"eet_fairseq_default (\w+)\[\] = {(.*?)\n};", text, re.S):
        tables[name] = re.findall(r'D(?:_OF_NULL)?\("(\w+)", "([^"]*)"\)', body)
    body = re.search(r"eet_fairseq_archs\[\] = {(.*?)\n};", text, re.S)[1]
    rows = re.findall(r'{"(\w+)",\s*\S+,\s*(NULL|"\w+"),\s*(\w+)}', body)
    return tables, {name: (table, base.strip('"')) for name, base, table in rows}


def value_of(text, values):
    """A value as the converter takes it."""
    if text.startswith("="):
        return values.get(text[1:], ...)
    known = {"true": True, "false": False, "null": None}
    return known[text] if text in known else int(text) if text.isdigit() else text


def ours(name, tables, archs):
    """All defaults of an architecture."""
    values = {}
    while name != "NULL":
        table, name = archs[name]
        for key, text in tables[table]:
            value = value_of(text, values)
            if key not in values and value is not ...:
                values[key] = value
    return values


def theirs(name):
    """What Fairseq makes of a Namespace without anything."""
    made = argparse.Namespace()
    if name == "transformer_lm":
        base_lm_architecture(made)
    else:
        ARCH_CONFIG_REGISTRY[name](made)
    return vars(made)


def main():
    """The comparison."""
    tables, archs = read_tables()
    wanted = {name for name, model in ARCH_MODEL_NAME_REGISTRY.items() if model in MODELS}
    problems = [f"{name} is missing" for name in sorted(wanted - set(archs))]
    problems += [f"{name} is none of Fairseq's" for name in sorted(set(archs) - wanted)]
    compared = 0
    for name in sorted(wanted & set(archs)):
        own, real = ours(name, tables, archs), theirs(name)
        for key in sorted(set(own) | set(real)):
            if key in real and key in own and key not in LATER:
                compared += 1
                if own[key] != real[key]:
                    problems.append(f"{name}: {key} is {own[key]}, in Fairseq {real[key]}")
            elif key in own and key not in LATER and key not in real:
                problems.append(f"{name}: Fairseq does not set {key}")
    print("\n".join(problems) or f"{len(archs)} architectures, {compared} defaults: fine")
    return 1 if problems or compared < 300 else 0


sys.exit(main())
