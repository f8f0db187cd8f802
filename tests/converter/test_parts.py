#!/usr/bin/python3
"""Checkpoints in several files, as eet-convert's user meets them (needs EET_BIN).

    tests/converter/test_parts.py             all but the next
    tests/converter/test_parts.py --memory    the promise about memory, with files of some size

However a model is cut into files, it is one model: one weights digest, one content digest. The
real sharded checkpoints are those of fixtures/make_shards.py.
"""
import hashlib
import itertools
import json
import os
import random
import resource
import shutil
import struct
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "hostile"))
import make_torch as mt  # noqa: E402

BIN = Path(os.environ["EET_BIN"])
FIXTURES = Path(__file__).resolve().parent.parent.parent / "fixtures"
SLOWNESS = float(os.environ.get("EET_TEST_SLOWNESS", "1"))
MIB = 1 << 20
FORMS = {"bin": ("pytorch_model", ".bin", mt.write_zip),
         "safetensors": ("model", ".safetensors", mt.write_safetensors)}


def convert(*arguments, **how):
    how = {"capture_output": True, "text": True, "check": False, "stdin": subprocess.DEVNULL, **how}
    return subprocess.run([BIN / "eet-convert", *map(str, arguments)], timeout=60 * SLOWNESS, **how)


def digests(folder: Path, *operands) -> tuple:
    """Weights and content digest of what is converted."""
    target = folder / "model.eet"
    done = convert(*operands, "-o", target, "--force")
    assert done.returncode == 0, f"{operands}: {done.stderr}"
    return tuple(subprocess.run([BIN / "eet-inspect", f"--digest={what}", target], text=True,
                                capture_output=True, check=True).stdout
                 for what in ("weights", "content"))


def provenance(target: Path) -> dict:
    told = subprocess.run([BIN / "eet-inspect", "--json", "--provenance", target], text=True,
                          capture_output=True, check=True)
    return json.loads(told.stdout)["provenance"]


def cut(folder: Path, tensors: dict, count: int, form: str, config=None) -> Path:
    """Writes the tensors into `count` files and their index."""
    stem, end, write = FORMS[form]
    names = [f"{stem}-{i + 1:05}-of-{count:05}{end}" for i in range(count)]
    parts = [{} for _ in range(count)]
    index = {}
    for i, (name, tensor) in enumerate(tensors.items()):
        parts[i % count][name] = tensor
        index[name] = names[i % count]
    folder.mkdir(parents=True, exist_ok=True)
    for name, part in zip(names, parts):
        write(folder / name, part)
    total = sum(len(data) for _, _, data in tensors.values())
    (folder / f"{stem}{end}.index.json").write_text(
        json.dumps({"metadata": {"total_size": total}, "weight_map": index}, indent=2))
    mt.write_config(folder / "config.json", **(config or {}))
    return folder


def tiny() -> dict:
    """Tensors of a GPT-2 without the copy of its tied head."""
    tensors = mt.state_dict()
    tensors.pop("lm_head.weight")
    return tensors


# --- one model -----------------------------------------------------------------------------------


def one_model(folder: Path, name: str):
    whole = FIXTURES / "checkpoints" / name
    sharded = FIXTURES / "sharded"
    found = {
        "whole safetensors": digests(folder, whole, "--weights", "model.safetensors"),
        "whole bin": digests(folder, whole, "--weights", "pytorch_model.bin"),
        "parts of safetensors": digests(folder, sharded / f"{name}_safetensors"),
        "parts of bin": digests(folder, sharded / f"{name}_bin"),
        "the index of safetensors":
            digests(folder, sharded / f"{name}_safetensors" / "model.safetensors.index.json"),
        "the index of bin, and another configuration":
            digests(folder, sharded / f"{name}_bin" / "pytorch_model.bin.index.json", "--config",
                    whole / "config.json"),
    }
    if name == "bert_mlm":
        found["a variant"] = digests(folder, sharded / "bert_mlm_variant", "--weights",
                                     "model.safetensors.index.v1.json")
    assert len(set(found.values())) == 1, found


def test_a_gpt2_is_one_model_however_it_is_cut(folder):
    one_model(folder, "gpt2_tiny")


def test_a_bert_is_one_model_however_it_is_cut(folder):
    one_model(folder, "bert_mlm")


def test_real_parts_are_converted_without_a_note(folder):
    for name in ("gpt2_tiny_bin", "gpt2_tiny_safetensors", "bert_mlm_bin", "bert_mlm_safetensors"):
        done = convert(FIXTURES / "sharded" / name, "-o", folder / f"{name}.eet")
        assert done.returncode == 0 and done.stderr == "", done.stderr


def test_parts_of_both_kinds_make_one_model(folder):
    source = FIXTURES / "sharded" / "gpt2_tiny_safetensors"
    mixed = folder / "mixed"
    shutil.copytree(source, mixed)
    index = json.loads((mixed / "model.safetensors.index.json").read_text())
    other = json.loads((FIXTURES / "sharded" / "gpt2_tiny_bin" /
                        "pytorch_model.bin.index.json").read_text())
    part = other["weight_map"]["transformer.wte.weight"]
    shutil.copy(FIXTURES / "sharded" / "gpt2_tiny_bin" / part, mixed / part)
    for tensor, file in other["weight_map"].items():
        if file == part:
            index["weight_map"][tensor] = part
    for file in mixed.glob("model-*"):
        if file.name not in index["weight_map"].values():
            file.unlink()
    (mixed / "model.safetensors.index.json").write_text(json.dumps(index))
    assert digests(folder, mixed) == digests(folder, source)


def test_the_order_of_the_map_changes_no_tensor(folder):
    tensors = mt.state_dict()
    seen = set()
    for seed in range(4):
        names = list(tensors)
        random.Random(seed).shuffle(names)
        source = cut(folder / str(seed), {name: tensors[name] for name in names}, 5, "bin")
        seen.add(digests(folder, source))
    assert len(seen) == 1, seen


def test_more_parts_than_open_files(folder):
    config = {"n_layer": 100, "n_embd": 4, "n_head": 2, "n_inner": 4}
    tensors = mt.state_dict(config)
    tensors.pop("lm_head.weight")
    seen = set()
    for form, count in (("safetensors", len(tensors)), ("bin", 300)):
        source = cut(folder / form, tensors, count, form, config)
        assert len(list(source.iterdir())) == count + 2 and count >= 300
        done = convert(source, "-o", folder / f"{form}.eet", "--hash-source",
                       preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (24, 24)))
        assert done.returncode == 0, done.stderr
        seen.add(digests(folder, source))
    assert len(tensors) > 1200 and len(seen) == 1, seen


# --- what is told --------------------------------------------------------------------------------


def test_the_provenance_lists_every_part(folder):
    source = FIXTURES / "sharded" / "gpt2_tiny_bin"
    files = ["pytorch_model.bin.index.json"]
    files += [f"pytorch_model-{i + 1:05}-of-00004.bin" for i in range(4)] + ["config.json"]
    for options in ((), ("--hash-source",)):
        target = folder / "model.eet"
        assert convert(source, "-o", target, "--force", *options).returncode == 0
        told = provenance(target)
        for i, name in enumerate(files):
            data = (source / name).read_bytes()
            kind = "torch_zip" if name.endswith(".bin") else "index"
            kind = "config" if name == "config.json" else kind
            assert told[f"src.{i}.name"] == name and told[f"src.{i}.kind"] == kind, told
            assert told[f"src.{i}.bytes"] == len(data), told
            hashed = kind != "torch_zip" or bool(options)
            assert told.get(f"src.{i}.sha256") == (
                hashlib.sha256(data).hexdigest() if hashed else None), told
        assert f"src.{len(files)}.name" not in told, told


def test_of_several_forms_one_is_read_and_the_others_are_named(folder):
    tensors = tiny()
    source = cut(folder / "x", tensors, 2, "bin")
    cut(source, tensors, 2, "safetensors")
    mt.write_zip(source / "pytorch_model.bin", tensors)
    mt.write_safetensors(source / "model.safetensors", tensors)
    forms = ["model.safetensors", "model.safetensors.index.json", "pytorch_model.bin",
             "pytorch_model.bin.index.json"]
    while forms:
        done = convert(source, "-o", folder / "a.eet", "--force", "--json")
        told = json.loads(done.stdout)
        assert done.returncode == 0 and told["source"] == forms[0], done
        assert told["notes"] == [
            f"{forms[0]} is read, and {other} beside it is not; --weights FILE decides"
            for other in forms[1:]], told["notes"]
        for form in forms:
            told = json.loads(convert(source, "-o", folder / "a.eet", "--force", "--json",
                                      "--weights", form).stdout)
            assert told["source"] == form and told["notes"] == [], told
        (source / forms.pop(0)).unlink()


def test_a_part_is_no_target(folder):
    source = cut(folder / "x", tiny(), 3, "safetensors")
    for name in ("model-00002-of-00003.safetensors", "model.safetensors.index.json"):
        before = (source / name).read_bytes()
        done = convert(source, "-o", source / name, "--force")
        assert done.returncode == 2 and "it is what is converted" in done.stderr, done
        assert (source / name).read_bytes() == before


def test_the_result_of_an_index_is_named_after_the_model(folder):
    source = cut(folder / "tiny", tiny(), 2, "safetensors")
    assert convert(source / "model.safetensors.index.json", cwd=folder).returncode == 0
    assert convert(source, cwd=folder).returncode == 0
    assert sorted(os.listdir(folder)) == ["model.eet", "tiny", "tiny.eet"]


def test_a_part_alone_says_which_command_was_meant(folder):
    source = cut(folder / "tiny", mt.state_dict(), 2, "bin")
    done = convert("tiny/pytorch_model-00002-of-00002.bin", cwd=folder)
    assert done.returncode == 2, done
    hint = next(line for line in done.stderr.splitlines() if "hint: " in line)
    command = hint.split("hint: ")[1].split(" reads")[0]
    assert command == "eet-convert tiny/pytorch_model.bin.index.json", hint
    assert convert(*command.split()[1:], cwd=folder).returncode == 0
    done = convert(source, "--weights", "pytorch_model-00001-of-00002.bin", cwd=folder)
    assert done.returncode == 2 and "pytorch_model.bin.index.json" in done.stderr, done


def test_an_error_names_the_part(folder):
    source = cut(folder / "x", mt.state_dict(), 2, "bin")
    part = source / "pytorch_model-00002-of-00002.bin"
    index = json.loads((source / "pytorch_model.bin.index.json").read_text())
    tensor = next(name for name, file in index["weight_map"].items() if file == part.name)
    data = bytearray(part.read_bytes())
    data[data.index(mt.state_dict()[tensor][2])] ^= 1
    part.write_bytes(data)
    done = convert(source, "-o", folder / "a.eet")
    assert done.returncode == 4 and f"{part.name}: zip entry" in done.stderr, done.stderr
    assert not (folder / "a.eet").exists()


# --- folders -------------------------------------------------------------------------------------


def test_a_folder_has_any_name(folder):
    source = cut(folder / "plain", tiny(), 2, "bin")
    for name in ("two words", "ünïcödé ☃", "new\nline", "$(touch x)", "a" * 255, "\x1b[31mred", "it's"):
        shutil.copytree(source, folder / name)
        done = convert(name, "-o", "model.eet", "--force", cwd=folder)
        assert done.returncode == 0 and "\x1b" not in done.stdout + done.stderr, (name, done)
        (folder / name / "pytorch_model-00002-of-00002.bin").unlink()
        done = convert(name, "-o", "model.eet", "--force", cwd=folder)
        assert done.returncode == 4 and "\x1b" not in done.stderr, (name, done)
        assert len(done.stderr.splitlines()) == 2, done.stderr


def test_a_folder_deeper_than_any_path(folder):
    start = os.getcwd()
    os.chdir(folder)
    try:
        for _ in range(30):
            os.mkdir("d" * 200)
            os.chdir("d" * 200)
        cut(Path("."), tiny(), 2, "bin")
        done = [convert(operand, "-o", f"{folder}/{i}.eet")
                for i, operand in enumerate((".", "pytorch_model.bin.index.json"))]
    finally:
        os.chdir(start)
        subprocess.run(["rm", "-rf", folder / ("d" * 200)], check=True)
    assert [one.returncode for one in done] == [0, 0], done


def test_a_folder_below_one_that_is_closed(folder):
    """By a relative path it can be read, and no other way."""
    closed = folder / "closed"
    source = cut(closed / "in" / "tiny", tiny(), 2, "bin")
    (folder / "eet-convert").write_bytes((BIN / "eet-convert").read_bytes())
    (folder / "out").mkdir()
    inside = os.open(source, os.O_PATH)
    for path, mode in ((folder, 0o755), (folder / "eet-convert", 0o755), (folder / "out", 0o777),
                       (closed, 0o000)):
        path.chmod(mode)
    nobody = {"user": 65534, "group": 65534, "extra_groups": []} if os.geteuid() == 0 else {}
    try:
        for operand in (".", "pytorch_model.bin.index.json"):
            done = subprocess.run([folder / "eet-convert", operand, "-o", folder / "out" / "a.eet",
                                   "--force"], capture_output=True, text=True, check=False,
                                  cwd=f"/proc/self/fd/{inside}", **nobody)
            assert done.returncode == 0, done.stderr
    finally:
        os.close(inside)
        closed.chmod(0o700)


def test_a_link_that_turns_elsewhere_mixes_no_two_models(folder):
    """The folder that was meant first is read to the end."""
    small = cut(folder / "v1", tiny(), 3, "bin")
    other = {name: (dtype, shape, bytes(len(data))) for name, (dtype, shape, data) in tiny().items()}
    large = cut(folder / "v2", other, 3, "bin")
    link = folder / "current"
    link.symlink_to("v1")
    expected = {digests(folder, small), digests(folder, large)}
    done = threading.Event()

    def turn():
        for number in itertools.count():
            if done.is_set():
                return
            os.symlink(f"v{1 + number % 2}", folder / "next")
            os.replace(folder / "next", link)

    turner = threading.Thread(target=turn)
    turner.start()
    try:
        found = {digests(folder, link) for _ in range(30)}
    finally:
        done.set()
        turner.join()
    assert found <= expected, found


# --- memory --------------------------------------------------------------------------------------


def hollow(path: Path, tensors: dict) -> None:
    """A safetensors file of zeros that are not there."""
    table, at = {}, 0
    for name, shape in tensors.items():
        table[name] = {"dtype": "F32", "shape": list(shape),
                       "data_offsets": [at, at + 4 * mt.product(shape)]}
        at += 4 * mt.product(shape)
    header = json.dumps(table).encode()
    with open(path, "wb") as out:
        out.write(struct.pack("<Q", len(header)) + header)
        out.truncate(8 + len(header) + at)


def memory(folder: Path) -> None:
    """2 x the largest tensor + 64 MiB, however large the whole is (docs/commands.md)."""
    config = {"n_embd": 1024, "n_head": 16, "n_layer": 24, "vocab_size": 4096, "n_positions": 64}
    shapes = {"wte.weight": (4096, 1024), "wpe.weight": (64, 1024), "ln_f.weight": (1024,),
              "ln_f.bias": (1024,)}
    for i in range(24):
        for name, shape in (("ln_1", (1024,)), ("attn.c_attn", (1024, 3072)), ("ln_2", (1024,)),
                            ("attn.c_proj", (1024, 1024)), ("mlp.c_fc", (1024, 4096)),
                            ("mlp.c_proj", (4096, 1024))):
            shapes[f"h.{i}.{name}.weight"] = shape
            shapes[f"h.{i}.{name}.bias"] = shape[-1:]
    parts = [{} for _ in range(40)]
    for i, (name, shape) in enumerate(shapes.items()):
        parts[i % 40][name] = shape
    index = {}
    for i, part in enumerate(parts):
        hollow(folder / f"part-{i}.safetensors", part)
        index |= {name: f"part-{i}.safetensors" for name in part}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    mt.write_config(folder / "config.json", architectures=["GPT2Model"], **config)
    size = sum(file.stat().st_size for file in folder.glob("part-*"))
    limit = 2 * max(4 * mt.product(shape) for shape in shapes.values()) + 64 * MIB
    assert size > 10 * limit, (size, limit)
    done = convert(folder, "-o", folder / "model.eet",
                   preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (limit, limit)))
    print(f"{size / MIB:.0f} MiB in 40 files under {limit / MIB:.0f} MiB of data: {done.stdout}")
    assert done.returncode == 0, done.stderr


def main() -> int:
    wanted = sys.argv[1:]
    tests = {name: test for name, test in globals().items() if name.startswith("test_")}
    if wanted == ["--memory"]:
        tests, wanted = {"memory": memory}, []
    failed = 0
    for name, test in tests.items():
        if wanted and name not in wanted:
            continue
        with tempfile.TemporaryDirectory() as folder:
            try:
                test(Path(folder))
            except (AssertionError, subprocess.TimeoutExpired, ValueError) as error:
                failed += 1
                print(f"{name}: {error}")
    print(f"{len(tests)} tests, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
