"""Hostile and edge inputs: a case is data - a way to make the files, and what the command says.

    tests/hostile/run.py cases_zip [NAME...]     runs a table of cases (all, or those named)

A table is a module cases_<what>.py with a list CASES. Numbers are those of the list in
docs/refusals.md. Needs only Python's standard library.
"""
import dataclasses
from collections.abc import Callable
from pathlib import Path


@dataclasses.dataclass(frozen=True)
class Case:
    """One input and what becomes of it.

    make(folder) writes the input below `folder` and returns the command's operands (paths).
    exit is the exact exit code of `command` (see docs/commands.md); `says` must be part of its one
    line on standard error (of standard output and error together when exit is 0). `name` is unique
    in its table. With exit 0, `same_as(folder)` makes a second input that must give the same
    content digest. `output` says whether the command is given `-o FILE` (and must leave no FILE
    unless it ends with 0). check(folder, output) looks at what came out.
    """

    number: int
    name: str
    make: Callable[[Path], list]
    exit: int
    says: str = ""
    command: str = "eet-convert"
    options: tuple = ()
    output: bool = True
    same_as: Callable[[Path], list] | None = None
    check: Callable[[Path, Path], None] | None = None
    memory: int = 2 << 30
    seconds: float = 10.0
