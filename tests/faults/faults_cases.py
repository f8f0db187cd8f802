"""What the sweep runs (CASES), which faults a call can have and how a program may then end
(FAULTS), and faults that only matter together (PAIRS)."""
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "hostile"))
import make_torch as mt  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
INJECT = str(Path(os.environ["EET_BIN"]).parent / "tests" / "eet_inject.so")
POINTS = ROOT / "fixtures" / "checkpoints"
OK, IO, MEMORY, EITHER = {0}, {5}, {6}, {5, 6}

# An optional path may go on without what failed: then the result is the same, and that is checked.
FAULTS = {
    "alloc": {"ENOMEM": MEMORY | OK},
    "open": {"EIO": IO | OK, "EMFILE": IO | OK},
    "stat": {"EIO": IO | OK},
    "path": {"EIO": IO | OK},
    "read": {"EIO": IO, "EINTR": OK, "short": OK, "end": IO | {4}},
    "write": {"EIO": IO, "ENOSPC": IO, "EINTR": OK, "short": OK},
    "map": {"ENOMEM": EITHER, "EIO": EITHER},
    "reserve": {"EIO": IO, "ENOSPC": IO, "EINTR": OK, "EOPNOTSUPP": OK, "ENOSYS": OK},
    "truncate": {"EIO": IO, "EINTR": OK},
    "sync": {"EIO": IO, "ENOSPC": IO, "EINTR": OK},
    "rename": {"EIO": IO, "ENOSPC": IO},
    "link": {"EIO": IO},
    "folder": {"EIO": IO, "ENOSPC": IO},
    "close": {"EIO": IO | OK, "EINTR": OK},
    "mode": {"EIO": IO, "EPERM": IO},
    "advise": {"EIO": OK},
    "thread": {"EAGAIN": OK | MEMORY},  # the converter needs no second one; a session was promised it
    "random": {"ENOSYS": OK, "EINTR": OK, "short": OK},
    "list": {"EIO": OK | IO},
}
PAIRS = [  # the last says which programs: those that replace a target, those that do not, or all
    ("reserve:1:EOPNOTSUPP,truncate:1:EIO", IO, None),
    ("reserve:1:EOPNOTSUPP,truncate:1:ENOSPC", IO, None),
    ("reserve:1:EOPNOTSUPP,truncate:1:EINTR", OK, None),
    ("rename:1:EEXIST", {2}, False),
    ("rename:1:EINVAL", OK, False),  # a filesystem that cannot: a link takes the name instead
    ("rename:1:ENOSYS", OK, False),
    ("rename:1:EINVAL,link:1:EPERM", IO, False),
    ("rename:1:EINVAL,link:1:EEXIST", {2}, False),
    ("rename:1:EINVAL,unlink:1:EIO", OK, False),
    ("rename:1:EINVAL", IO, True),
    ("write:1:EIO,unlink:1:EIO", IO, None),
    ("write:1:short+", OK, None),
    ("write:1:short+,read:1:short+", OK, None),
]


def empty(folder: Path):
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def environment(report: Path, **more) -> dict:
    """What makes a program run under inject.c. The sanitizers stand behind it, and are not told of
    what the dynamic linker keeps."""
    quiet = report.parent / "lsan.supp"
    if not quiet.exists():
        quiet.write_text("leak:_dl_map_object_deps\n")
    return {"PATH": "/usr/bin:/bin", "LD_PRELOAD": INJECT, "EET_INJECT_REPORT": str(report),
            "ASAN_OPTIONS": "verify_asan_link_order=0:exitcode=77",
            "LSAN_OPTIONS": f"suppressions={quiet}:print_suppressions=0", **more}


@dataclass
class Case:
    name: str
    program: str
    arguments: list
    target: str = ""  # the file that it makes in its folder
    old: bool = False  # it is there before
    stdin: str = ""
    code: int = 0  # how it ends without a fault
    varies: bool = False  # what it prints is never the same
    long: bool = False  # it runs with the plan `all`, and when it is named
    # kinds whose calls also come when the target has its name
    late: set = field(default_factory=lambda: {"sync", "close", "unlink", "alloc"})

    def argv(self, bin_folder: Path) -> list:
        where = bin_folder.parent / "tests" if self.program == "library" else bin_folder
        return [str(where / self.program), *map(str, self.arguments)]


def convert(name: str, *arguments, **more) -> Case:
    return Case(name, "eet-convert", [*arguments, "-q", "-o", "made.eet"], target="made.eet", **more)


def make_checkpoints(work: Path) -> Path:
    """Small ones, so that a run is short: as .bin of two kinds, as safetensors, and in
    shards."""
    folder = work / "in"
    for name in ("zip", "safetensors", "stream"):
        (folder / name).mkdir(parents=True)
        mt.write_config(folder / name / "config.json")
        (folder / name / "vocab.json").write_text('{"a": 0}')
    mt.write_zip(folder / "zip" / "pytorch_model.bin", mt.state_dict())
    mt.write_safetensors(folder / "safetensors" / "model.safetensors", mt.state_dict())
    mt.write_stream(folder / "stream" / "pytorch_model.bin", mt.state_dict())
    for name, write, stem, end in (
            ("shards", mt.write_safetensors, "model", "safetensors"),
            ("bin-shards", mt.write_zip, "pytorch_model", "bin")):
        make_shards(folder / name, write, stem, end)
    return folder


def make_shards(folder: Path, write, stem: str, end: str):
    folder.mkdir()
    mt.write_config(folder / "config.json")
    tensors = [(key, value) for key, value in mt.state_dict().items() if key != "lm_head.weight"]
    index = {"metadata": {}, "weight_map": {}}
    for part in range(2):
        shard = f"{stem}-{part + 1:05d}-of-00002.{end}"
        write(folder / shard, dict(tensors[part::2]))
        index["weight_map"] |= {key: shard for key, _ in tensors[part::2]}
    (folder / f"{stem}.{end}.index.json").write_text(json.dumps(index))


def model(work: Path, bin_folder: Path, checkpoint: str) -> Path:
    made = work / f"{checkpoint}.eet"
    subprocess.run([bin_folder / "eet-convert", POINTS / checkpoint, "-q", "-o", made], check=True,
                   stdout=subprocess.DEVNULL)
    return made


def conversions(made: Path) -> list:
    return [
        convert("convert-zip", made / "zip"),
        convert("convert-stream", made / "stream"),
        convert("convert-safetensors", made / "safetensors", "--hash-source", "--dtype", "f16",
                "--metadata", "note=x", "--force", old=True),
        convert("convert-bert", POINTS / "bert_mlm", "--hash-source"),
        convert("convert-shards", made / "shards", "--hash-source", long=True),
        convert("convert-bin-shards", made / "bin-shards"),
        convert("convert-sentence", POINTS / "sentence_dense", "--allow-nonfinite"),
        convert("convert-heads", POINTS / "gpt2_double", long=True),
        convert("convert-fairseq", POINTS / "fs062_nmt"),
        convert("convert-fairseq-cfg", POINTS / "fs012_lm_cfg", long=True),
        convert("convert-json", made / "zip", "--json", "--clamp"),
    ]


def inspections(made: Path, gpt2: Path, bert: Path) -> list:
    return [
        Case("inspect", "eet-inspect", ["--sections", gpt2]),
        Case("inspect-json", "eet-inspect", ["--json", bert]),
        Case("inspect-digest", "eet-inspect", ["--digest=file", gpt2]),
        Case("inspect-dump", "eet-inspect",
             ["--tensor", "dec.emb.tok", "--dump", "npy", "-o", "made.npy", gpt2],
             target="made.npy"),
        Case("inspect-raw", "eet-inspect",
             ["--tensor", "dec.emb.tok", "--stats", "--dump", "raw", "-o", "made.raw", "--force",
              gpt2], target="made.raw", old=True),
        Case("inspect-extract", "eet-inspect", ["--extract=vocab.json", "-o", "made", "--json",
                                                made / "assets.eet"], target="made/vocab.json"),
    ]


def CASES(work: Path, bin_folder: Path) -> list:
    made = make_checkpoints(work)
    gpt2, bert = model(work, bin_folder, "gpt2_tiny"), model(work, bin_folder, "bert_tiny")
    subprocess.run([bin_folder / "eet-convert", made / "zip", "-q", "-o", made / "assets.eet"],
                   check=True, stdout=subprocess.DEVNULL)
    twin, half = work / "twin.eet", work / "half.eet"
    shutil.copy(gpt2, twin)
    subprocess.run([bin_folder / "eet-convert", POINTS / "gpt2_tiny", "-q", "-o", half, "--dtype",
                    "bf16"], check=True, stdout=subprocess.DEVNULL)
    rows = work / "rows.jsonl"
    rows.write_text('{"ids": [5, 10, 15]}\n{"ids": [26, 28], "text": "x"}\n')
    nmt = model(work, bin_folder, "fs062_nmt")
    pairs = work / "pairs.jsonl"
    pairs.write_text('{"source_ids": [8, 25, 2]}\n{"ids": [2, 4], "source_ids": [5, 2]}\n')
    return [
        *conversions(made),
        *inspections(made, gpt2, bert),
        Case("verify", "eet-verify", ["--deep", gpt2]),
        Case("verify-json", "eet-verify", ["--json", "--level", "1", gpt2, bert]),
        Case("verify-against", "eet-verify", ["--against", POINTS / "gpt2_tiny", "--json", gpt2]),
        Case("verify-differs", "eet-verify", ["--against", POINTS / "bert_tiny", gpt2], code=1,
             long=True),
        Case("run", "eet-run", [gpt2, "-n", "4", "--json", "--threads", "2"], stdin=str(rows)),
        Case("run-draw", "eet-run", [gpt2, "-n", "4", "--json", "--temperature", "0.8", "--top-k",
                                     "20", "--top-p", "0.9", "--seed", "7", "--logprobs", "2"],
             stdin=str(rows)),
        Case("run-beams", "eet-run", [gpt2, "-n", "4", "--num-beams", "3", "--num-return", "2"],
             stdin=str(rows)),
        Case("run-score", "eet-run", [gpt2, "--score", "--json", "--logprobs", "2"],
             stdin=str(rows)),
        Case("encode", "eet-encode", [bert, "--normalize"], stdin=str(rows)),
        Case("encode-npy", "eet-encode", [bert, "--format", "npy", "-o", "made.npy"],
             target="made.npy", stdin=str(rows)),
        Case("encode-source", "eet-encode", [nmt, "--head", "lm"], stdin=str(pairs)),
        Case("diff-twins", "eet-diff", [gpt2, twin]),
        Case("diff", "eet-diff", ["--stats", gpt2, half], code=1),
        Case("diff-json", "eet-diff", ["--stats", "--json", gpt2, half], code=1),
        Case("diff-other", "eet-diff", [gpt2, bert], code=1, long=True),
        Case("bench", "eet-bench", ["--random", "layers=1,hidden=16,heads=2,vocab=32", "-p", "4", "-n",
                                    "2", "-r", "1", "-t", "1"], varies=True, long=True),
        Case("bench-file", "eet-bench", [gpt2, "-p", "4", "-n", "2", "-r", "1", "-t", "1",
                                         "--check", "--format", "jsonl"], varies=True, long=True),
        *[Case(f"library-{how}", "library", [how, gpt2])
          for how in ("map", "copy", "fd", "memory")],
    ]
