#!/usr/bin/env python3
"""Runs a table of hostile inputs (see hostile.py): tests/hostile/run.py TABLE [NAME...]."""
import importlib
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
BIN = Path(os.environ["EET_BIN"])
SLOWNESS = float(os.environ.get("EET_TEST_SLOWNESS", "1"))


def is_sanitized() -> bool:
    """AddressSanitizer and ThreadSanitizer reserve terabytes of address space."""
    return b"__asan_init" in (BIN / "eet-convert").read_bytes() or b"__tsan_init" in (
        BIN / "eet-convert"
    ).read_bytes()


def run(case, operands, output, limit):
    def bound():
        if limit:
            resource.setrlimit(resource.RLIMIT_AS, (case.memory, case.memory))

    command = [BIN / case.command, *case.options, *operands]
    if case.output:
        command += ["-o", output]
    return subprocess.run(
        list(map(str, command)), stdin=subprocess.DEVNULL, capture_output=True,
        timeout=case.seconds * SLOWNESS, preexec_fn=bound, check=False)


def digest(path) -> str:
    return subprocess.run([BIN / "eet-inspect", "--digest", path], capture_output=True, check=True,
                          text=True).stdout


def look(case, folder, limit) -> None:
    """Raises AssertionError with one sentence when the case does not go as it says."""
    before = set(os.listdir(folder))
    (folder / "in").mkdir()
    output = folder / "out" / "model.eet"
    output.parent.mkdir()
    result = run(case, case.make(folder / "in"), output, limit)
    told = result.stderr.decode("utf-8", "replace")
    assert result.returncode == case.exit, f"exit {result.returncode}, expected {case.exit}: {told}"
    everything = told if case.exit else told + result.stdout.decode("utf-8", "replace")
    assert case.says in everything, f"said {everything!r}, expected {case.says!r}"
    assert all(c.isprintable() or c == "\n" for c in told), f"control characters: {told!r}"
    if case.exit and (case.exit, case.command) != (1, "eet-diff"):  # 1: they differ
        lines = [line for line in told.splitlines() if ": error: " in line]
        assert len(lines) == 1, f"{len(lines)} error lines: {told!r}"
        assert not os.listdir(output.parent), f"left {os.listdir(output.parent)}"
    if case.same_as:
        other = folder / "other"
        other.mkdir()
        second = run(case, case.same_as(other), other / "model.eet", limit)
        assert second.returncode == 0, f"the other input: {second.stderr!r}"
        assert digest(output) == digest(other / "model.eet"), "the two digests differ"
    if case.check:
        case.check(folder / "in", output)
    assert before == set()


def main() -> int:
    table, names = sys.argv[1], set(sys.argv[2:])
    cases = importlib.import_module(table).CASES
    assert len({case.name for case in cases}) == len(cases), "a name occurs twice"
    failed = ran = 0
    limit = not is_sanitized()
    for case in cases:
        if names and case.name not in names:
            continue
        ran += 1
        with tempfile.TemporaryDirectory() as folder:
            try:
                look(case, Path(folder), limit)
            except (AssertionError, subprocess.TimeoutExpired) as error:
                failed += 1
                print(f"{case.number} {case.name}: {error}")
    print(f"{table}: {ran} cases, {failed} failed")
    return 1 if failed or not ran else 0


if __name__ == "__main__":
    sys.exit(main())
