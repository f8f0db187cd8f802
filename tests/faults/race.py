#!/usr/bin/env python3
"""Several writers of one target at once: tests/faults/race.py ROUNDS (needs EET_BIN).

Two checkpoints that differ are converted to one name at the same moment. Without --force one has
the name and the other says that it is taken (2); with --force each ends well and the name has one
of the two, whole. Never anything else, and nothing beside it. refusals.md: 97
"""
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from faults_cases import make_checkpoints  # noqa: E402

CONVERT = str(Path(os.environ["EET_BIN"]) / "eet-convert")


def start(source: Path, target: Path, *options) -> subprocess.Popen:
    return subprocess.Popen([CONVERT, source, "-q", "-o", target, *options], text=True,
                            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                            stderr=subprocess.PIPE)


def faults_of(codes: list, forces: list, present: bool, now: bytes, whole: set) -> list:
    """What is wrong with how writers ended; `present`: something was there before."""
    found = []
    if now not in whole:
        found.append("the target is none of the results")
    if any(code != 0 for code, force in zip(codes, forces) if force):
        found.append(f"one with --force did not write: {codes}")
    if any(code not in (0, 2) for code in codes):
        found.append(f"exits {codes}")
    first = sum(code == 0 for code, force in zip(codes, forces) if not force)
    if first > (0 if present else 1) or (first == 0 and not present and not any(forces)):
        found.append(f"{first} without --force have the name: {codes}")
    return found


def race(sources: list, results: dict, forces: list, present: bool, folder: Path,
         dice: random.Random) -> list:
    target = folder / "made.eet"
    for path in folder.iterdir():
        path.unlink()
    if present:
        target.write_bytes(results[sources[0]])
    running = []
    for source, force in zip(sources, forces):
        running.append(start(source, target, *(["--force"] if force else [])))
        time.sleep(dice.choice((0, 0, 0.001, 0.003)))
    told = [process.communicate()[1] for process in running]
    codes = [process.returncode for process in running]
    found = faults_of(codes, forces, present, target.read_bytes(), set(results.values()))
    if any(code == 2 and "--force replaces it" not in text for code, text in zip(codes, told)):
        found.append(f"the loser does not say why: {told}")
    if len(list(folder.iterdir())) != 1:
        found.append(f"left behind: {list(folder.iterdir())}")
    return found


def main() -> int:
    rounds, dice, found = int(sys.argv[1]), random.Random(1), []
    # the judge sees what it is there for
    assert faults_of([0, 0], [False, False], False, b"x", {b"x"})
    assert faults_of([2, 2], [False, False], False, b"x", {b"x"})
    assert faults_of([0, 2], [False, False], False, b"y", {b"x"})
    assert faults_of([0, 2], [True, True], False, b"x", {b"x"})
    assert faults_of([0, 2], [False, False], True, b"x", {b"x"})
    with tempfile.TemporaryDirectory(prefix="eet-race-") as made:
        work = Path(made).resolve()
        points = make_checkpoints(work)
        (points / "safetensors" / "vocab.json").write_text('{"b": 1}')
        sources = [points / "zip", points / "safetensors", points / "shards", points / "bin-shards"]
        results = {}
        for source in sources:
            assert start(source, work / f"{source.name}.eet").wait() == 0
            results[source] = (work / f"{source.name}.eet").read_bytes()
        assert len(set(results.values())) > 2
        folder = work / "out"
        folder.mkdir()
        plans = [([False] * 2, False), ([True] * 2, False), ([True] * 2, True),
                 ([False] * 2, True), ([True, False], False), ([False] * 4, False),
                 ([True] * 4, True)]
        for number in range(rounds):
            forces, present = plans[number % len(plans)]
            some = dice.sample(sources, len(forces))
            found += [f"round {number}, --force {forces}, there before {present}: {fault}"
                      for fault in race(some, results, forces, present, folder, dice)]
    print("\n".join(found))
    print(f"{rounds} races, {len(found)} findings")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
