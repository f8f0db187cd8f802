#!/usr/bin/env python3
"""The same bytes whatever is around: tests/faults/same.py (needs EET_BIN).

A checkpoint is converted once, and then from another folder, under other umasks, locales, time
zones, limits, users, host names, with garbage in the environment and in fresh memory, on one CPU,
from folders that were filled in another order. Each time the file has the same bytes, and the mode
that the umask allows. refusals.md: 98
"""
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from faults_cases import make_checkpoints  # noqa: E402

CONVERT = str(Path(os.environ["EET_BIN"]) / "eet-convert")
PLAIN = {"PATH": "/usr/bin:/bin"}
LOCALES = {"tr_TR": "UTF-8", "de_DE": "UTF-8", "fa_IR": "UTF-8", "ja_JP": "EUC-JP"}
NOBODY = 65534


def build_locales(folder: Path) -> list:
    """Those that can be built here: a dotless i, a decimal comma, other digits, no ASCII."""
    built = []
    folder.mkdir()
    for name, charmap in LOCALES.items():
        done = subprocess.run(["localedef", "-i", name, "-f", charmap, folder / f"{name}.{charmap}"],
                              capture_output=True, check=False)
        # 1: a warning, and it was built
        if done.returncode in (0, 1) and (folder / f"{name}.{charmap}").is_dir():
            built.append(f"{name}.{charmap}")
    return built


def refill(source: Path, target: Path, backwards: bool) -> Path:
    """A copy whose files were made in another order, at another time, among others."""
    target.mkdir()
    for path in sorted(source.iterdir(), reverse=backwards):
        (target / f"{path.name}~").write_text("not this one")
        shutil.copyfile(path, target / path.name)
        os.utime(target / path.name, (1, 1))
        (target / path.name).chmod(0o444)
    (target / "README.md").write_text("# nothing")
    return target


def shell(limits: str) -> list:
    return ["bash", "-c", f'{limits}; exec "$@"', "bash"]


def variants(source: Path, work: Path):
    """(what is other, how the command is begun, its environment, its folder, its checkpoint)"""
    out = work / "other"
    out.mkdir()
    yield "another folder", [], PLAIN, Path("/"), source
    yield "a relative path", [], PLAIN, source.parent, Path(source.name)
    yield "a path with dots", [], PLAIN, source, Path(f"../{source.name}/.")
    yield "no environment", ["env", "-i"], {}, out, source
    yield "garbage", [], PLAIN | {f"EET_{i}": "x" * 1000 for i in range(50)}, out, source
    for name, value in (("TMPDIR", "/nowhere"), ("HOME", "/nowhere"), ("TZ", "Asia/Kathmandu"),
                        ("TZ", ":/nowhere"), ("SOURCE_DATE_EPOCH", "1"), ("LANGUAGE", "de"),
                        ("SOURCE_DATE_EPOCH", "4102444800"), ("COLUMNS", "20"),
                        ("TERM", "xterm-256color"), ("USER", "somebody"), ("HOSTNAME", "elsewhere"),
                        ("MALLOC_PERTURB_", "165"), ("MALLOC_PERTURB_", "90"),
                        ("MALLOC_ARENA_MAX", "1"), ("GLIBC_TUNABLES", "glibc.malloc.tcache_count=0"),
                        ("OMP_NUM_THREADS", "3"), ("EET_LOG", "trace"),
                        ("OPENSSL_ia32cap", "~0x200000200000000:~0x20000000")):
        yield f"{name}={value}", [], PLAIN | {name: value}, out, source
    for limits in ("ulimit -n 24", "ulimit -s 256", "ulimit -s 65536", "ulimit -c 0",
                   "ulimit -f 4096", "exec </dev/null", "exec <&-", "umask 000", "umask 027",
                   "umask 077", "umask 111"):
        yield limits, shell(limits), PLAIN, out, source
    yield "one CPU", ["taskset", "-c", str(min(os.sched_getaffinity(0)))], PLAIN, out, source
    yield "low priority", ["nice", "-n", "19"], PLAIN, out, source
    yield "no randomised addresses", ["setarch", "-R"], PLAIN, out, source
    if os.geteuid() == 0:
        out.chmod(0o777)
        yield "another user", ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}",
                               "--clear-groups"], PLAIN, out, source
        yield "another host", ["unshare", "--uts", "bash", "-c", 'hostname other; exec "$@"',
                               "bash"], PLAIN, out, source
    locales = work / "locales"
    names = build_locales(locales)
    if len(names) < len(LOCALES):
        yield f"locales other than {names}", ["false"], PLAIN, out, source
    for name in names + ["C", "POSIX", "C.UTF-8", "xx_YY"]:
        yield f"LC_ALL={name}", [], PLAIN | {"LC_ALL": name, "LOCPATH": str(locales)}, out, source
    for backwards in (False, True):
        yield (f"filled in another order ({backwards})", [], PLAIN, out,
               refill(source, work / f"{'ba'[backwards]}" / source.name, backwards))


def mode_wanted(what: str) -> int:
    return 0o644 & ~int(what.removeprefix("umask "), 8) if what.startswith("umask") else 0o644


def can_begin(begin: list) -> bool:
    """Is the program there that makes the difference, and is it allowed to? Another user may not
    reach the commands, where the build stands below a folder of root's alone."""
    return subprocess.run([*begin, CONVERT, "--version"], capture_output=True,
                          check=False).returncode == 0


def main() -> int:
    found, count, skipped = [], 0, []
    with tempfile.TemporaryDirectory(prefix="eet-same-") as made:
        work = Path(made).resolve()
        work.chmod(0o755)
        (work / "a").mkdir()
        (work / "b").mkdir()
        os.umask(0o022)
        points = make_checkpoints(work)
        for source in (points / "zip", points / "shards"):
            subprocess.run([CONVERT, source, "-q", "--hash-source", "-o", work / "first.eet"],
                           check=True, env=PLAIN, stdout=subprocess.DEVNULL)
            first = (work / "first.eet").read_bytes()
            for what, begin, env, folder, given in variants(source, work):
                if begin and not can_begin(begin):
                    skipped.append(what)
                    continue
                target = work / "other" / "again.eet"
                done = subprocess.run([*begin, CONVERT, given, "-q", "--hash-source", "-o", target],
                                      cwd=folder, env=env, capture_output=True, text=True,
                                      check=False)
                count += 1
                if done.returncode != 0:
                    found.append(f"{what}: exit {done.returncode}: {done.stderr}")
                elif target.read_bytes() != first:
                    found.append(f"{what}: other bytes")
                elif target.stat().st_mode & 0o7777 != mode_wanted(what):
                    found.append(f"{what}: mode {target.stat().st_mode & 0o7777:o}")
                target.unlink(missing_ok=True)
            (work / "first.eet").unlink()
            for name in ("other", "locales", "a", "b"):
                shutil.rmtree(work / name)
            (work / "a").mkdir()
            (work / "b").mkdir()
    print("\n".join(found))
    print(f"{count} conversions, {len(found)} findings; not possible here: {skipped or 'none'}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
