#!/usr/bin/env python3
"""Writers that are killed: tests/faults/kill.py ROUNDS [SEED] (needs EET_BIN).

First at every call of the system that they make, before it and behind it; then ROUNDS times at a
random moment, sometimes with a signal that can be caught. Whatever the moment, the target is what
it was (or absent), or what it should be, never anything else; a signal that can be caught leaves no
temporary file; what SIGKILL leaves cannot be taken for a model, does not disturb the next run, and
is cleared away by a later one. refusals.md: 96
"""
import fcntl
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from faults_cases import CASES, INJECT, ROOT, empty, environment  # noqa: E402

BIN = Path(os.environ["EET_BIN"])
WRITERS = ("convert-zip", "convert-safetensors", "inspect-dump", "inspect-raw",
           "inspect-extract", "encode-npy")
CAUGHT = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
HOUR = 3600


class Writer:
    """A case of the sweep that makes a file, and what may stand there afterwards."""

    def __init__(self, case, folder: Path):
        self.case, self.folder = case, folder
        folder.mkdir()
        self.seconds = sorted(self.timed() for _ in range(5))[2]
        self.whole = (folder / case.target).read_bytes()
        self.old = b"what was there" if case.old else None

    def start(self, **extra) -> subprocess.Popen:
        empty(self.folder)
        if self.case.old:
            (self.folder / self.case.target).write_bytes(b"what was there")
        return self.restart(**extra)

    def restart(self, **extra) -> subprocess.Popen:
        with open(self.case.stdin or os.devnull, "rb") as stdin:
            return subprocess.Popen(self.case.argv(BIN), stdin=stdin, stdout=subprocess.DEVNULL,
                                    stderr=subprocess.DEVNULL, cwd=self.folder,
                                    env={"PATH": "/usr/bin:/bin", **extra})

    def run(self, **extra) -> int:
        return self.start(**extra).wait()

    def timed(self) -> float:
        started = time.perf_counter()
        assert self.run() == 0
        return time.perf_counter() - started

    def now(self):
        target = self.folder / self.case.target
        return target.read_bytes() if target.exists() else None

    def left(self) -> list:
        return [p for p in self.folder.rglob("*")
                if p.is_file() and p != self.folder / self.case.target]

    def faults(self, caught: bool) -> list:
        found = []
        if self.now() not in (self.old, self.whole):
            found.append("the target is torn")
        if caught and self.left():
            found.append(f"a signal left {self.left()}")
        if len(self.left()) > 1 or any(not is_temporary(p, self.case.target) for p in self.left()):
            found.append(f"left behind: {self.left()}")
        for path in self.left():
            if self.case.target.endswith(".eet") and path.read_bytes() != self.whole:
                check = subprocess.run([BIN / "eet-verify", "-q", path], capture_output=True,
                                       check=False)
                if check.returncode != 4:
                    found.append(f"an unfinished file is taken for a model: {check.returncode}")
        if found or not self.left():
            return found
        if self.now() is not None and not self.case.old:
            (self.folder / self.case.target).unlink()
        if self.restart().wait() != 0 or self.now() != self.whole:
            found.append("the next run is disturbed by what was left")
        return found


def is_temporary(path: Path, target: str) -> bool:
    return path.name.startswith(f".{Path(target).name}.") and path.name.endswith(".tmp")


def at_every_call(writer: Writer) -> tuple:
    """SIGKILL before and behind each call of the system."""
    found, runs = [], 0
    report = writer.folder.parent / "report"
    assert writer.run(**environment(report)) == 0
    met = [line.split() for line in report.read_text().splitlines()]
    calls = next(int(words[2]) for words in met if words[:2] == ["met", "any"])
    for number in range(1, calls + 1):
        for fault in ("kill", "killed"):
            code = writer.run(**environment(report, EET_INJECT=f"any:{number}:{fault}"))
            runs += 1
            # close and threads are not stood behind
            if code != -signal.SIGKILL and fault == "kill":
                found.append(f"{writer.case.name}: any:{number}:{fault}: exit {code}")
            found += [f"{writer.case.name}: any:{number}:{fault}: {fault_}"
                      for fault_ in writer.faults(False)]
    return found, runs


def at_random(writers: list, rounds: int, dice: random.Random) -> tuple:
    found, ends = [], {"killed": 0, "signalled": 0, "done": 0, "old": 0, "left": 0}
    for number in range(rounds):
        writer = writers[number % len(writers)]
        caught = dice.random() < 0.25
        what = dice.choice(CAUGHT) if caught else signal.SIGKILL
        started = time.perf_counter()
        process = writer.start()
        rest = writer.seconds - (time.perf_counter() - started)
        time.sleep(max(0, dice.uniform(0, 1.5 * rest)))
        process.send_signal(what)
        code = process.wait()
        if code not in (0, -what, 130 if caught else 0):
            found.append(f"{writer.case.name}, round {number}: exit {code} after {what!r}")
        ends["done" if code == 0 else "signalled" if caught else "killed"] += 1
        ends["old"] += writer.now() == writer.old
        ends["left"] += len(writer.left())
        # before the program begins, a signal finds no handler, and nothing to clear away either
        found += [f"{writer.case.name}, round {number}: {fault}" for fault in writer.faults(caught)]
    return found, ends


def stale_files(writer: Writer) -> list:
    """What is old and held by nobody goes; what is young, held or another's stays."""
    found = []
    empty(writer.folder)
    where, target = (writer.folder / writer.case.target).parent, Path(writer.case.target).name
    where.mkdir(exist_ok=True)
    gone = where / f".{target}.0123456789abcdef.tmp"
    kept = [where / name for name in (
        f".{target}.0123456789abcdee.tmp", f".{target}.0123456789abcded.tmp",
        f".{target}.0123456789ABCDEF.tmp", f".{target}x.0123456789abcdef.tmp",
        f".{target}.0123456789abcdef.tmp.txt", f"{target}.0123456789abcdef.tmp")]
    for path in (gone, *kept):
        path.write_bytes(bytes(4096))
        if path != kept[0]:
            os.utime(path, (time.time() - HOUR, time.time() - HOUR))
    with open(kept[1], "rb+") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        code = writer.restart().wait()
    if code != 0 or writer.now() != writer.whole:
        found.append(f"stale files: exit {code}")
    if gone.exists():
        found.append(f"stale files: {gone.name} is still there")
    found += [f"stale files: {path.name} is gone" for path in kept if not path.exists()]
    return [f"{writer.case.name}: {fault}" for fault in found]


def main() -> int:
    rounds = int(sys.argv[1])
    dice = random.Random(int(sys.argv[2]) if len(sys.argv) > 2 else 1)
    with tempfile.TemporaryDirectory(prefix="eet-kill-") as made:
        work = Path(made).resolve()
        writers = [Writer(case, work / case.name) for case in CASES(work, BIN)
                   if case.name in WRITERS]
        found, calls = [], 0
        for writer in writers:
            faults, runs = at_every_call(writer)
            found, calls = found + faults + stale_files(writer), calls + runs
        faults, ends = at_random(writers, rounds, dice)
        found += faults
    print("\n".join(found[:50]))
    print(f"{calls} kills at calls, {rounds} at random moments {ends}: {len(found)} findings")
    return 1 if found else 0


if __name__ == "__main__":
    assert Path(INJECT).exists() and ROOT.exists()
    sys.exit(main())
