#!/usr/bin/env python3
"""A checkpoint that others change while it is converted: tests/faults/changed.py POINTS (needs
EET_BIN). refusals.md: 31

The converter is stopped before POINTS of its calls of the system; then the file of weights is cut,
grows, gets other bytes, or is replaced by another checkpoint's, and it goes on. It ends with 4 or 5,
one sentence and nothing left, or it has made what the file was before, or is now, to the last byte.
"""
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from faults_cases import environment, make_checkpoints  # noqa: E402

CONVERT = str(Path(os.environ["EET_BIN"]) / "eet-convert")


def other_bytes(data: bytes) -> bytes:
    """Another model in the same container where it has no checksums: the order of the last
    thousand weights is turned round."""
    last = [data[at:at + 4] for at in range(len(data) - 4, len(data) - 4096, -4)]
    return data[:-4 * len(last)] + b"".join(last)


def cut(path: Path, _):
    os.truncate(path, path.stat().st_size // 2)


def empty(path: Path, _):
    os.truncate(path, 0)


def grow(path: Path, _):
    with open(path, "ab") as out:
        out.write(bytes(64))


def overwrite(path: Path, _):
    data = other_bytes(path.read_bytes())
    with open(path, "r+b") as out:
        out.write(data)


def replace(path: Path, other: Path):
    beside = path.with_name("coming")
    shutil.copyfile(other, beside)
    beside.rename(path)


def gone(path: Path, _):
    path.unlink()


CHANGES = (cut, empty, grow, overwrite, replace, gone)


class Run:
    """The conversion of a checkpoint that is changed at one of its calls."""

    def __init__(self, work: Path, good: Path, weights: str):
        self.work, self.good, self.weights = work, good, weights
        self.source, self.out = work / "source", work / "out"
        self.other = work / "other"

    def convert(self, **extra) -> subprocess.Popen:
        for folder in (self.source, self.out):
            shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.good, self.source)
        self.out.mkdir()
        return subprocess.Popen([CONVERT, self.source, "-q", "-o", self.out / "made.eet"],
                                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, text=True,
                                stderr=subprocess.PIPE,
                                env=environment(self.work / "report", **extra))

    def made(self):
        path = self.out / "made.eet"
        return path.read_bytes() if path.exists() else None

    def calls(self) -> int:
        assert self.convert().wait() == 0
        met = [line.split() for line in (self.work / "report").read_text().splitlines()]
        return next(int(words[2]) for words in met if words[:2] == ["met", "any"])

    def changed_at(self, call: int, change) -> tuple:
        """The exit code, None where that call never came; what it said."""
        running = self.convert(EET_INJECT=f"any:{call}:stop")
        _, status = os.waitpid(running.pid, os.WUNTRACED)
        if not os.WIFSTOPPED(status):
            running.returncode = os.waitstatus_to_exitcode(status)
            return None, running.communicate()[1]
        change(self.source / self.weights, self.other)
        os.kill(running.pid, signal.SIGCONT)
        told = running.communicate()[1]
        return running.returncode, told

    def result_now(self):
        """What the checkpoint makes as it is now, None where it makes nothing."""
        path = self.work / "now.eet"
        path.unlink(missing_ok=True)
        done = subprocess.run([CONVERT, self.source, "-q", "-o", path], check=False,
                              stdin=subprocess.DEVNULL, capture_output=True)
        return path.read_bytes() if done.returncode == 0 else None


def faults_of(code, told: str, made, left: list, whole) -> list:
    """`whole()`: what may have been made."""
    found = []
    if code == 0:
        if made not in whole():
            found.append("exit 0, and what was made is neither of the two")
        return found
    if code not in (4, 5):
        found.append(f"exit {code}: {told!r}")
    lines = [line for line in told.splitlines() if ": hint: " not in line]
    if len(lines) != 1 or ": error: " not in lines[0]:
        found.append(f"no single sentence: {told!r}")
    return found + ([f"left behind: {left}"] if left else [])


def main() -> int:
    points, found, runs = int(sys.argv[1]), [], 0
    # the judge sees what it is there for
    assert faults_of(0, "", b"x", [], lambda: [b"y", None])
    assert faults_of(4, "eet-convert: error: x", None, ["made.eet"], lambda: [])
    assert faults_of(3, "eet-convert: error: x", None, [], lambda: [])
    refused = dict.fromkeys((change.__name__ for change in CHANGES), 0)
    with tempfile.TemporaryDirectory(prefix="eet-changed-") as made:
        work = Path(made).resolve()
        folders = make_checkpoints(work)
        for name, weights in (("zip", "pytorch_model.bin"), ("stream", "pytorch_model.bin"),
                              ("safetensors", "model.safetensors"),
                              ("shards", "model-00002-of-00002.safetensors")):
            run = Run(work, folders / name, weights)
            run.other.write_bytes(other_bytes((folders / name / weights).read_bytes()))
            calls = run.calls()
            old = run.made()
            for point in range(points):
                call = 1 + point * (calls - 1) // (points - 1)
                change = CHANGES[point % len(CHANGES)]
                code, told = run.changed_at(call, change)
                what = f"{name}, call {call} of {calls}, {change.__name__}"
                if code is None:
                    found.append(f"{what}: it never came: {told!r}")
                    continue
                runs += 1
                refused[change.__name__] += code in (4, 5)
                found += [f"{what}: {fault}" for fault in faults_of(
                    code, told, run.made(), os.listdir(run.out) if code else [],
                    lambda: [old, run.result_now()])]
    found += [f"{name}: never refused" for name, times in refused.items() if times == 0]
    print("\n".join(found))
    print(f"{runs} changes, {len(found)} findings, refused: {refused}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
