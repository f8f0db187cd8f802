"""eet-verify --against reads a checkpoint as eet-convert does: what of the tables of containers the one
refuses as hostile, unsupported or too much, the other refuses alike."""
import dataclasses
import os
import subprocess
from pathlib import Path

import cases_fairseq
import cases_h5
import cases_index
import cases_legacy
import cases_pickle
import cases_safetensors
import cases_zip
import make_torch as mt

BIN = Path(os.environ["EET_BIN"])
TABLES = (cases_fairseq, cases_h5, cases_index, cases_legacy, cases_pickle, cases_safetensors,
          cases_zip)
REFUSED = (3, 4, 6)
# The file says whether the final norm counts, so that nothing asks for the version.
NOT_ASKED = ("two versions",)


def good_file(folder: Path) -> Path:
    """The file of the model that the tables do their harm to."""
    folder.mkdir()
    mt.write_zip(folder / "pytorch_model.bin", mt.state_dict())
    mt.write_config(folder / "config.json")
    subprocess.run([BIN / "eet-convert", "-q", folder, "-o", folder / "good.eet"], check=True,
                   stdout=subprocess.DEVNULL)
    return folder / "good.eet"


def against(make):
    """The operand of eet-convert as the checkpoint to compare with."""
    return lambda folder: ["--against", *make(folder), good_file(folder.parent / "good")]


def is_taken(case) -> bool:
    """Refused for what it is, not for what was asked."""
    refused = case.command == "eet-convert" and case.exit in REFUSED and not case.options
    return refused and case.name not in NOT_ASKED


def twins(table) -> list:
    """Each third case of a table for eet-verify: behind both commands is the same code."""
    return [dataclasses.replace(case, command="eet-verify", make=against(case.make), output=False,
                                check=None, name=f"{table.__name__[6:]}: {case.name}")
            for case in [case for case in table.CASES if is_taken(case)][::3]]


CASES = [case for table in TABLES for case in twins(table)]
assert len(CASES) > 60, len(CASES)
