#!/usr/bin/env python3
"""Pickles that would run a program, open a file or connect, given to eet-convert under strace:
it starts nothing, connects to nothing, and opens no file but its own. The same in each of the five
pickles of a stream of before torch 1.6, and of HDF5 files that lead elsewhere, for which it starts
one process: that reads its one file, writes to its one pipe, and gets nothing else of the system.
Numbers 35 and 70 of docs/refusals.md. Exit 77: this machine does not let strace look.
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import h5py

sys.path.insert(0, str(Path(__file__).parent))
import cases_h5 as h5  # noqa: E402
import make_torch as mt  # noqa: E402

CONVERT = Path(os.environ["EET_BIN"]) / "eet-convert"
CALLS = "trace=execve,execveat,fork,vfork,clone,clone3,socket,connect,open,openat,openat2,creat"
PYTHON = "open('evil','w')"
EVIL = {
    "os.system": ("os.system", ("touch evil",)),
    "posix.system": ("posix.system", ("touch evil",)),
    "subprocess.Popen": ("subprocess.Popen", (["touch", "evil"],)),
    "open": ("builtins.open", ("evil", "w")),
    "eval": ("builtins.eval", (PYTHON,)),
    "exec": ("builtins.exec", (PYTHON,)),
    "__import__": ("builtins.__import__", ("evil",)),
    "connect": ("socket.create_connection", (("127.0.0.1", 9),)),
    # not on the list of what is refused: an inert value, still never called
    "torch.hub.load": ("torch.hub.load", ("somebody/evil", "evil")),
    "pathlib.Path.touch": ("pathlib.Path.touch", ("evil",)),
    "numpy.load": ("numpy.load", ("evil",)),
    "urlopen": ("urllib.request.urlopen", ("http://127.0.0.1:9/evil",)),
}
STREAM = ("magic number", "version", "system", "objects", "list of keys")
# What is tried in the pickles that hold no tensors; in the objects all of them are.
SHORT = ("os.system", "eval", "connect", "torch.hub.load")
LISTED = ("os.", "posix.", "subprocess.", "builtins.", "socket.")


# What the process for HDF5 may do once it is shut in: reads of its file, words into its pipe, memory.
JAIL = re.compile(r"(pread64\(3,|write\(4,|(mmap|munmap|mremap|madvise|brk|futex|clock_gettime|"
                  r"gettimeofday|getpid|rt_sigprocmask|rt_sigreturn|exit|exit_group)\()")
SANITIZED = any(sign in CONVERT.read_bytes() for sign in (b"__asan_init", b"__tsan_init"))


def trace(folder: Path, checkpoint: Path, log: Path, how=("-f", "-e", CALLS)):
    command = ["strace", *how, "-qq", "-o", log, CONVERT, checkpoint, "-o", folder / "model.eet"]
    quiet = {**os.environ, "ASAN_OPTIONS": "detect_leaks=0"}  # it wants to be the tracer itself
    return subprocess.run(list(map(str, command)), cwd=folder, capture_output=True, text=True,
                          timeout=60, check=False, env=quiet)


def faults_of(log: str, ours: Path) -> list:
    """The calls that a converter has no business making."""
    faults, started = [], 0
    for line in log.splitlines():
        call = re.sub(r"^\d+ +", "", line)
        name = call.partition("(")[0]
        if name in ("execve", "execveat"):
            started += 1
            if started > 1:
                faults.append(call)
        elif name in ("fork", "vfork", "socket", "connect"):
            faults.append(call)
        elif name in ("clone", "clone3") and "CLONE_THREAD" not in call:
            faults.append(call)
        elif name in ("open", "openat", "openat2", "creat") and not is_allowed(call, ours):
            faults.append(call)
    if started != 1:
        faults.append(f"{started} programs started, expected the converter alone")
    return faults


def is_allowed(call: str, ours: Path) -> bool:
    """Libraries and what the C library asks of the system, read only; and our own folder, where the
    new file's temporary name is opened relative to the folder."""
    path = re.search(r'"([^"]*)"', call)
    if path is None or "evil" in path.group(1):
        return False
    if f"{path.group(1)}/".startswith(f"{ours}/"):
        return True
    if re.match(r'openat\(\d+, "\.model\.eet\.[0-9a-f]+\.tmp"', call):
        return True
    if re.search(r"/CMakeFiles/[^\"]*\.gcda\"", call):  # where a build for coverage counts lines
        return True
    writes = any(flag in call for flag in ("O_WRONLY", "O_RDWR", "O_CREAT"))
    return not writes and path.group(1).startswith(
        ("/lib", "/usr/lib", "/etc/ld.so", "/etc/localtime", "/proc/", "/sys/", "/dev/",
         "/usr/share/locale", "/usr/share/zoneinfo", "/etc/ssl/", "/usr/local/lib",
         str(CONVERT.parent.parent)))


def look_at(what: str, expected: int, write) -> list:
    """write(path) makes the file of weights."""
    with tempfile.TemporaryDirectory(prefix="eet-strace-") as made:
        folder = Path(made).resolve()
        checkpoint = folder / "in"
        checkpoint.mkdir()
        mt.write_config(checkpoint / "config.json")
        write(checkpoint / "pytorch_model.bin")
        result = trace(folder, checkpoint, folder / "log")
        faults = faults_of((folder / "log").read_text(), folder)
        if result.returncode != expected:
            faults.append(f"exit {result.returncode}, expected {expected}: {result.stderr}")
        if list(folder.rglob("*evil*")):
            faults.append("the file \"evil\" is there")
        return [f"{what}: {fault}" for fault in faults]


def look(name: str, protocol: int) -> list:
    function, arguments = EVIL[name]
    tensors = mt.state_dict() | {"extra": mt.Call(function, arguments)}
    return look_at(f"{name}, protocol {protocol}", 4 if function.startswith(LISTED) else 0,
                   lambda path: mt.write_zip(path, tensors, protocol))


def look_at_stream(name: str, piece: int) -> list:
    """The call stands in front of what the pickle holds, and its value is dropped."""
    function, arguments = EVIL[name]
    stream = mt.Stream(mt.state_dict())
    pieces = stream.pickles()
    call = mt.write_pickle(mt.Call(function, arguments))[0]
    pieces[piece] = call[:-1] + b"0" + pieces[piece][2:]
    expected = 4 if function.startswith(LISTED) else 0
    return look_at(f"{name} in the {STREAM[piece]}", 3 if piece == 0 else expected,
                   lambda path: path.write_bytes(b"".join(pieces + stream.data())))


def faults_of_jail(calls: str) -> list:
    """What one process got of the system after it had shut itself in."""
    lines = calls.splitlines()
    at = next((i for i, line in enumerate(lines) if line.startswith("prctl(PR_SET_SECCOMP")), None)
    if at is None or not lines[at].endswith("= 0"):
        return ["the process is not shut in"]
    return [line for line in lines[at + 1:]
            if not JAIL.match(line) and "= -1 EPERM" not in line and not line.startswith("+++")]


def look_at_hdf5(name: str, make, expected: int) -> list:
    """One process is started, which is no program, and no file is opened there."""
    with tempfile.TemporaryDirectory(prefix="eet-strace-") as made:
        folder = Path(made).resolve()
        checkpoint = folder / "in"
        checkpoint.mkdir()
        make(checkpoint)
        result = trace(folder, checkpoint, folder / "log", ("-ff",))
        logs = [path.read_text() for path in sorted(folder.glob("log.*"))]
        faults = faults_of("\n".join(logs), folder)
        processes = [fault for fault in faults if fault.startswith("clone")]
        if len(processes) == 1:
            faults.remove(processes[0])
        if result.returncode != expected:
            faults.append(f"exit {result.returncode}, expected {expected}: {result.stderr}")
        if any(name in log for log in logs for name in ("other.h5", "secret")):
            faults.append("the other file was looked for")
        children = [log for log in logs if "execve(" not in log and "PR_SET_PDEATHSIG" in log]
        if len(children) != 1:
            faults.append(f"{len(children)} processes for HDF5, expected one")
        elif not SANITIZED:  # a sanitizer makes calls of its own
            faults += faults_of_jail(children[0])
        return [f"{name}: {fault}" for fault in faults]


def main() -> int:
    if shutil.which("strace") is None:
        print("skipped: strace is not installed")
        return 77
    probe = subprocess.run(["strace", "-qq", "-o", "/dev/null", "true"], capture_output=True,
                           text=True, check=False)
    if probe.returncode != 0:
        print(f"skipped: strace is not allowed here: {probe.stderr.strip()}")
        return 77
    # the watcher sees what it is there for
    probe = faults_of('1 execve("a") = 0\n1 execve("b") = 0\n1 connect(3) = 0\n'
                      '1 openat(AT_FDCWD, "/etc/passwd", O_RDONLY) = 3\n', Path("/tmp"))
    assert len(probe) == 4, probe
    shut = "prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, {len=1}) = 0\n"
    for call in ('openat(AT_FDCWD, "/etc/passwd", O_RDONLY) = 5', "pread64(5, 8, 0) = 8",
                 'execve("/bin/sh") = 0', "connect(5) = 0", "write(1, 8) = 8"):
        assert faults_of_jail(shut + "pread64(3, 8, 0) = 8\n" + call) == [call], call
    assert faults_of_jail("pread64(3, 8, 0) = 8\n"), "not shut in"
    faults = []
    looks = [(look, name, protocol) for name in EVIL for protocol in (2, 4)]
    looks += [(look_at_stream, name, piece) for piece in range(len(STREAM)) for name in EVIL
              if STREAM[piece] == "objects" or name in SHORT]
    for function, name, variant in looks:
        faults += function(name, variant)
    outside = h5py.ExternalLink("other.h5", "/")
    faults += look_at_hdf5("tf_model.h5", h5.h5(), 0)
    faults += look_at_hdf5("external storage", h5.h5(h5.external), 4)
    faults += look_at_hdf5("a virtual dataset", h5.h5(h5.virtual), 4)
    faults += look_at_hdf5("an external link", h5.h5(h5.linked(outside, h5.WPE)), 4)
    print("\n".join(faults))
    print(f"4 HDF5 files, {len(looks)} pickles, {len(faults)} findings")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
