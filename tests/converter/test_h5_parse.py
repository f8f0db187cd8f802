#!/usr/bin/env python3
"""What parses HDF5 says the same in its jail and outside of it (parse_h5), where its lines can be
counted: for each of the files of hostile.cases_h5 that are no crash of the library.

    tests/converter/test_h5_parse.py PARSE_H5
"""
import os
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "hostile"))
import cases_h5  # noqa: E402

CONVERT = Path(os.environ["EET_BIN"]) / "eet-convert"
DATASET, FAILED, END = 3, 4, 5


def parsed(parser, path):
    """The records outside of the jail: (kind, text)."""
    told = subprocess.run([parser, path], capture_output=True, check=False, timeout=60)
    if told.returncode:
        return None
    lines = told.stdout.decode("utf-8", "replace").splitlines()
    return [(int(line.split()[0]), line.split("\t")[2]) for line in lines if "\t" in line]


def look(case, parser) -> str:
    """What is wrong with a case; "" for nothing."""
    with tempfile.TemporaryDirectory(prefix="eet-h5-") as made:
        folder = Path(made)
        (folder / "in").mkdir()
        operands = case.make(folder / "in")
        files = list((folder / "in").rglob("*.h5"))
        path = folder / "in" / cases_h5.NAME
        if path not in files:
            return ""
        records = parsed(parser, path)
        command = [CONVERT, *case.options, *operands, "-o", folder / "model.eet"]
        told = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
        if records is None:
            return "" if told.returncode == 4 else f"no record ends it, and exit {told.returncode}"
        kind, text = records[-1]
        if kind == FAILED and (told.returncode == 0 or text.split(";")[0] not in told.stderr):
            return f"outside: {text}; inside, exit {told.returncode}: {told.stderr}"
        if told.returncode == 0 and (kind != END or DATASET not in [k for k, _ in records]):
            return f"inside it is good, outside it ends in {records[-1]}"
    return ""


def main():
    problems = [(case.name, look(case, sys.argv[1])) for case in cases_h5.CASES
                if not case.command or case.command == "eet-convert"]
    for name, what in problems:
        if what:
            print(f"{name}: {what}")
    failed = sum(1 for _, what in problems if what)
    print(f"h5_parse: {len(problems)} files, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
