#!/usr/bin/env python3
"""Every call that can fail, made to fail: tests/faults/sweep.py PLAN CASE... (needs EET_BIN).

A program runs once under inject.c, which lists its calls (allocations, opens, reads, writes,
renames, ...) and where each comes from. Then it runs once for every fault of every call, and
every time must end with the right exit code and one sentence, give all its memory and descriptors
back, and leave its target as it was and no temporary file; or it succeeds, and then what it gives
is what it gives without a fault.

Plans: `places` makes the first allocation, read and write from each place in the code fail, and
every other call; `all` every call, once,
and once with all that follow; `some` one run of ten of `places` (for the sanitizers).
"""
import os
import re
import signal
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from faults_cases import CASES, FAULTS, PAIRS, empty, environment  # noqa: E402

BIN = Path(os.environ["EET_BIN"])
SLOWNESS = float(os.environ.get("EET_TEST_SLOWNESS", "1"))
# A build that counts lines writes its counts at exit, and dies where an allocation for that fails.
COUNTED = b"__gcov_exit" in (BIN / "eet-convert").read_bytes()
WORKERS = 2
SOME = 10


class Run:
    """One run of a case with a fault (or none): what it gave and what it left."""

    def __init__(self, case, folder: Path, rules: str, trace=False):
        self.folder = folder
        empty(folder)
        report = folder.parent / f"{folder.name}.report"
        report.unlink(missing_ok=True)
        if case.old:
            (folder / case.target).parent.mkdir(exist_ok=True)
            (folder / case.target).write_bytes(b"what was there")
        more = {"EET_INJECT_TRACE": "1"} if trace else {}
        if rules:
            more["EET_INJECT"] = rules
        made = environment(report, **more)
        if trace:
            made["ASAN_OPTIONS"] += ":detect_leaks=0"
        with open(case.stdin or os.devnull, "rb") as stdin:
            done = subprocess.run(case.argv(BIN), stdin=stdin, capture_output=True, cwd=folder,
                                  env=made, timeout=60 * SLOWNESS, check=False)
        self.code, self.out = done.returncode, done.stdout
        self.err = done.stderr.decode(errors="replace")
        self.files = {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
        self.numbers, self.calls = {}, []
        if report.exists():
            self.read_report(report.read_text())

    def read_report(self, text: str):
        for line in text.splitlines():
            word, *rest = line.split()
            if word == "call":
                self.calls.append((rest[0], int(rest[1]), rest[2]))
            elif word == "met":
                self.numbers[rest[0]] = int(rest[1])
            else:
                self.numbers[word] = int(rest[0])


def faults_of(case, good: Run, run: Run, expected: set, kinds: set) -> list:
    """What is wrong with a run that met a fault; `expected` are the exit codes it may have."""
    faults = []
    if not run.numbers and COUNTED and run.code == -signal.SIGSEGV:
        return []
    if not run.numbers:
        return [f"exit {run.code} without a report: it died: {run.err}"]
    if run.numbers["struck"] == 0:
        return ["the fault was not met"]
    wanted = {case.code if code == 0 else code for code in expected}
    if run.code not in wanted:
        faults.append(f"exit {run.code}, expected {sorted(wanted)}: {run.err!r}")
    if run.numbers["leaked"]:
        faults.append(f"{run.numbers['leaked']} allocations were not given back")
    if run.numbers["descriptors"]:
        faults.append(f"{run.numbers['descriptors']} descriptors were not closed")
    known = {case.target} if case.target else set()
    left = set(run.files) - known
    if left and "unlink" not in kinds:
        faults.append(f"left behind: {sorted(left)}")
    whole = good.files.get(case.target)
    now = run.files.get(case.target)
    if run.code == good.code:
        if run.out != good.out and not case.varies:
            faults.append(f"another output: {run.out[:200]!r}")
        if now != whole:
            faults.append("it succeeded and the target is not what it should be")
        return faults
    if not says_it(case, run):
        faults.append(f"no single sentence: {run.err!r}, {run.out!r}")
    # behind the rename the folder is synced and the report printed: the target is there, whole
    old = b"what was there" if case.old else None
    if now not in (old, whole) or (now == whole != old and not kinds & case.late):
        faults.append("the target is neither what it was nor absent")
    return faults


def says_it(case, run: Run) -> bool:
    """One sentence on stderr, and perhaps a hint; with --json one document on stdout instead."""
    if {"--json", "jsonl"} & set(map(str, case.arguments)) and not run.err:
        return re.search(rb'"message": ".{8}', run.out) is not None
    said, *hint = run.err.splitlines() or [""]
    return (re.match(rf"{case.program}: error: \S", said) is not None and len(hint) <= 1
            and all(line.startswith(f"{case.program}: hint: ") for line in hint))


def chosen(plan: str, good: Run) -> list:
    """(kind, number, persists) of the calls to fail."""
    if plan == "all":
        return [(kind, n, persists) for kind, n, _ in good.calls if kind in FAULTS
                for persists in (False, True)]
    seen, result = set(), []
    for kind, number, place in good.calls:
        key = (kind, place if kind in ("alloc", "read", "write") else number)
        if kind in FAULTS and key not in seen:
            seen.add(key)
            result.append((kind, number, False))
    return result


def attempts_of(plan: str, case, good: Run):
    """(rules, exit codes that are right, kinds that fail)"""
    for kind, number, persists in chosen(plan, good):
        for name, expected in FAULTS[kind].items():
            if persists and name in ("EINTR", "short", "end"):
                continue  # for ever interrupted: that is a test that does not end
            yield f"{kind}:{number}:{name}{'+' if persists else ''}", expected, {kind}
    for rules, expected, forced in PAIRS:
        kinds = {rule.split(":")[0] for rule in rules.split(",")}
        if good.numbers[rules.split(":")[0]] and forced in (None, case.old):
            yield rules, expected, kinds


def sweep(plan: str, case, work: Path) -> tuple:
    folders = [work / f"{case.name}.{i}" for i in range(WORKERS)]
    for folder in folders:
        folder.mkdir()
    good = Run(case, folders[0], "", trace=True)
    assert good.code == case.code and good.numbers, f"{case.name} without a fault: {good.code} {good.err}"
    assert not good.numbers["leaked"] and not good.numbers["descriptors"], good.numbers
    assert not case.target or set(good.files) == {case.target}, sorted(good.files)
    attempts = list(attempts_of(plan, case, good))
    if plan == "some":
        attempts = attempts[len(case.name) % SOME::SOME]

    def share(i: int) -> list:
        found, codes = [], {}
        for rules, expected, kinds in attempts[i::WORKERS]:
            run = Run(case, folders[i], rules)
            codes[run.code] = codes.get(run.code, 0) + 1
            found += [f"{case.name}: {rules}: {fault}"
                      for fault in faults_of(case, good, run, expected, kinds)]
        return found, codes

    with ThreadPoolExecutor(WORKERS) as pool:
        parts = list(pool.map(share, range(WORKERS)))
    codes = {}
    for _, part in parts:
        for code, count in part.items():
            codes[code] = codes.get(code, 0) + count
    return [fault for found, _ in parts for fault in found], len(attempts), codes


def main() -> int:
    plan, names = sys.argv[1], sys.argv[2:]
    failed = 0
    with tempfile.TemporaryDirectory(prefix="eet-faults-") as made:
        work = Path(made).resolve()
        for case in CASES(work, BIN):
            if case.name not in names and (names or (case.long and plan != "all")):
                continue
            found, count, codes = sweep(plan, case, work)
            failed += len(found)
            ends = ", ".join(f"{n} x exit {code}" for code, n in sorted(codes.items()))
            print(f"{case.name}: {count} runs ({ends}), {len(found)} findings", flush=True)
            print("".join(f"  {fault}\n" for fault in found), end="", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
