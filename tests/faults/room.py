#!/usr/bin/env python3
"""Real lack of room and of permission: tests/faults/room.py full|small|nobody (needs EET_BIN).

`full`: /dev/full and limits of the process; `small`: filesystems of a few pages, and read-only
ones; `nobody`: folders and files that another user may not touch. The last two need root and are
skipped without. One sentence, exit 5 (6 for memory), nothing left; where there is room enough the
file is what it should be. refusals.md: 96, 100
"""
import os
import re
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from faults_cases import CASES  # noqa: E402

BIN = Path(os.environ["EET_BIN"])
WRITERS = ("convert-zip", "inspect-dump", "encode-npy")
PLAIN = {"PATH": "/usr/bin:/bin"}
NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
PAGE = 4096


def run(case, folder: Path, begin=(), **how):
    how = {"stdout": subprocess.PIPE, **how}
    with open(case.stdin or os.devnull, "rb") as stdin:
        return subprocess.run([*begin, *case.argv(BIN)], stdin=stdin, stderr=subprocess.PIPE,
                              cwd=folder, env=PLAIN, text=True, check=False, **how)


def faults_of(what: str, done, codes: tuple, folder: Path, before: set) -> list:
    found = []
    if done.returncode not in codes:
        found.append(f"exit {done.returncode}, expected {codes}: {done.stderr!r}")
    lines = [line for line in done.stderr.splitlines() if ": hint: " not in line]
    if done.returncode != 0 and not (len(lines) == 1 and re.match(r"eet-\w+: error: \S", lines[0])):
        found.append(f"no single sentence: {done.stderr!r}")
    if done.returncode != 0 and set(os.listdir(folder)) != before:
        found.append(f"left behind: {os.listdir(folder)}")
    return [f"{what}: {fault}" for fault in found]


def limit(what: int, value: int):
    return lambda: resource.setrlimit(what, (value, value))


def full(cases: list, work: Path) -> tuple:
    """/dev/full takes nothing; limits are those of ulimit."""
    found, count = [], 0
    for case in cases:
        folder = work / case.name
        folder.mkdir()
        if not case.target and case.program != "library":
            silent = run(case, folder).stdout == ""  # then there is nothing to lose
            with open("/dev/full", "wb") as nowhere:
                done = run(case, folder, stdout=nowhere)
            if not silent:
                found += faults_of(f"{case.name} > /dev/full", done, (5,), folder, set())
            elif done.returncode != case.code:
                found.append(f"{case.name} > /dev/full: exit {done.returncode}, not {case.code}")
            count += 1
        if case.name not in WRITERS:
            continue
        for size in (0, 1, PAGE, 2 * PAGE):
            done = run(case, folder, preexec_fn=limit(resource.RLIMIT_FSIZE, size))
            # dumps are smaller than two pages
            codes = (5,) if "convert" in case.name or size < PAGE else (0, 5)
            found += faults_of(f"{case.name}, files of {size} bytes", done, codes, folder, set())
            (folder / case.target).unlink(missing_ok=True)
            count += 1
        for files in range(3, 12):
            done = run(case, folder, preexec_fn=limit(resource.RLIMIT_NOFILE, files))
            if done.returncode in (127, 255) or "shared libraries" in done.stderr:
                continue  # it did not even begin
            found += faults_of(f"{case.name}, {files} open files", done, (0, 5), folder, set())
            (folder / case.target).unlink(missing_ok=True)
            count += 1
    return found, count


class Mounted:
    """A tmpfs as small as one likes."""

    def __init__(self, folder: Path, options: str):
        self.folder = folder
        folder.mkdir(exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], check=True,
                       capture_output=True)

    def __enter__(self):
        return self.folder

    def __exit__(self, *unused):
        subprocess.run(["umount", self.folder], check=True)


def small(cases: list, work: Path) -> tuple:
    found, count = [], 0
    for case in (c for c in cases if c.name in WRITERS):
        clean = work / case.name
        clean.mkdir()
        assert run(case, clean).returncode == 0
        whole = (clean / case.target).read_bytes()
        pages = (len(whole) + PAGE - 1) // PAGE
        for size in range(1, pages + 2):
            with Mounted(work / "small", f"size={size * PAGE}") as folder:
                done = run(case, folder)
                codes = (0,) if size >= pages else (5,)
                found += faults_of(f"{case.name}, {size} of {pages} pages", done, codes, folder,
                                   set())
                if done.returncode == 0 and (folder / case.target).read_bytes() != whole:
                    found.append(f"{case.name}, {size} pages: other bytes")
                count += 1
        for options in ("nr_inodes=1", "ro"):
            with Mounted(work / "small", options) as folder:
                found += faults_of(f"{case.name}, {options}", run(case, folder), (5,), folder, set())
                count += 1
    return found, count


def nobody(cases: list, work: Path) -> tuple:
    found, count = [], 0
    work.chmod(0o755)
    for case in (c for c in cases if c.name in WRITERS):
        for mode, old in ((0o555, False), (0o555, True), (0o000, False)):
            folder = work / f"{case.name}-{mode:o}-{old}"
            folder.mkdir()
            if old:
                (folder / case.target).write_bytes(b"old")
            before = set(os.listdir(folder))
            folder.chmod(mode)
            where = os.path.relpath(folder, work)
            moved = case.__class__(case.name, case.program, [*case.arguments, "--force"],
                                   case.target, False, case.stdin)
            moved.arguments[moved.arguments.index(case.target)] = f"{where}/{case.target}"
            done = run(moved, work, NOBODY)
            found += faults_of(f"{case.name}, folder {mode:o}", done, (5,), folder, before)
            if old and (folder / case.target).read_bytes() != b"old":
                found.append(f"{case.name}: the target was touched")
            count += 1
    inputs = [path for path in work.rglob("*") if path.name in ("pytorch_model.bin", "config.json",
                                                                "vocab.json")]
    convert = next(case for case in cases if case.name == "convert-zip")
    out = work / "out"
    out.mkdir()
    out.chmod(0o777)
    for path in (p for p in inputs if p.parent.name == "zip"):
        path.chmod(0)
        found += faults_of(f"{path.name} of mode 0", run(convert, out, NOBODY), (5,), out, set())
        path.chmod(0o644)
        count += 1
    done = run(convert, out, NOBODY)
    return found + faults_of("all is allowed", done, (0,), out, set()), count + 1


def nobody_can_run() -> bool:
    """Not where the build stands below a folder of root's alone."""
    return subprocess.run([*NOBODY, BIN / "eet-convert", "--version"], capture_output=True,
                          check=False).returncode == 0


def main() -> int:
    plan = {"full": full, "small": small, "nobody": nobody}[sys.argv[1]]
    if plan is not full and os.geteuid() != 0:
        print("skipped: only root can mount and be another user")
        return 77
    with tempfile.TemporaryDirectory(prefix="eet-room-") as made:
        work = Path(made).resolve()
        if plan is small:
            try:
                with Mounted(work / "probe", "size=4096"):
                    pass
            except (OSError, subprocess.CalledProcessError):
                print("skipped: this machine does not let root mount")
                return 77
        if plan is nobody and not nobody_can_run():
            print("skipped: root cannot be another user here, or that one cannot reach the commands")
            return 77
        found, count = plan(CASES(work, BIN), work)
    print("\n".join(found))
    print(f"{sys.argv[1]}: {count} runs, {len(found)} findings")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
