#!/usr/bin/env python3
"""Every number of the list in docs/refusals.md is there, and tested: tests/hostile/numbered.py
(needs EET_BIN)

A number is tested by a Case of a table here, or by a suite that says "refusals.md: 81, 82" in its
first lines and that the CMakeLists.txt beside it names.
"""
import importlib
import re
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE))
# What the container does not have: a vocabulary, quantised tensors, packs for a GPU.
ALL = set(range(1, 101)) - {92, 94, 99}


def of_cases() -> set:
    tables = [importlib.import_module(path.stem) for path in sorted(HERE.glob("cases_*.py"))]
    return {case.number for table in tables for case in table.CASES}


def is_called(suite: Path) -> bool:
    """Does CTest know it?"""
    rules = suite.parent / "CMakeLists.txt"
    if not rules.exists():
        return False
    if suite.suffix == ".c":
        wanted = rf"eet_suite\({re.escape(suite.stem.removeprefix('test_'))}\b"
    else:
        wanted = rf"/{re.escape(suite.name)}\b"
    return re.search(wanted, rules.read_text()) is not None


def of_suites() -> set:
    found = set()
    for suite in sorted(ROOT.glob("tests/*/*.*")):
        if suite.suffix not in (".c", ".py", ".sh") or suite == Path(__file__).resolve():
            continue
        told = re.search(r"refusals\.md: ([0-9]+(?:, [0-9]+)*)", "".join(
            suite.read_text(encoding="utf-8").splitlines(keepends=True)[:20]))
        if told and is_called(suite):
            found |= {int(number) for number in told[1].split(", ")}
    return found


def of_list(text: str) -> list:
    """The numbers in front of the list's lines."""
    return [int(number) for number in re.findall(r"^- \*\*([0-9]+)\*\* \S", text, re.MULTILINE)]


def faults_of(listed: list, tested: set) -> list:
    found = [f"{number}: not in docs/refusals.md" for number in sorted(ALL - set(listed))]
    found += [f"{number}: in no Case and no suite" for number in sorted(ALL - tested)]
    found += [f"{number}: in a test, not in docs/refusals.md"
              for number in sorted(tested - ALL - set(listed))]
    found += [f"{number}: in docs/refusals.md, in no Case and no suite"
              for number in sorted(set(listed) - ALL - tested)]
    return found + [f"{number}: twice in docs/refusals.md" for number in sorted(set(listed))
                    if listed.count(number) > 1]


def main() -> int:
    listed = of_list((ROOT / "docs" / "refusals.md").read_text(encoding="utf-8"))
    cases, suites = of_cases(), of_suites()
    # whichever number is taken away is missed
    whole = sorted(ALL)
    assert not faults_of(whole, ALL)
    assert all(faults_of([n for n in whole if n != gone], ALL) for gone in whole)
    assert all(faults_of(whole, ALL - {gone}) for gone in whole)
    assert faults_of(whole + [101], ALL) and faults_of(whole, ALL | {101})
    assert not faults_of(whole + [101], ALL | {101})
    found = faults_of(listed, cases | suites)
    print("\n".join(found))
    print(f"{len(listed)} numbers, {len(cases)} in Cases, {len(suites)} in suites, "
          f"{len(found)} findings")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
