#!/usr/bin/python3
"""What eet-convert promises as a command: tests/converter/test_convert.py (needs EET_BIN).

Same input, same bytes; a target is whole or absent whatever happens; what goes to which stream.
"""
import json
import os
import pty
import random
import resource
import select
import signal
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "hostile"))
import make_torch as mt  # noqa: E402

BIN = Path(os.environ["EET_BIN"])
CONVERT = str(BIN / "eet-convert")
SLOWNESS = float(os.environ.get("EET_TEST_SLOWNESS", "1"))


def convert(*arguments, **how):
    how = {"capture_output": True, "text": True, "check": False, "stdin": subprocess.DEVNULL, **how}
    return subprocess.run([CONVERT, *map(str, arguments)], timeout=60 * SLOWNESS, **how)


def make_small(folder: Path, safetensors=False) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    if safetensors:
        mt.write_safetensors(folder / "model.safetensors", mt.state_dict())
    else:
        mt.write_zip(folder / "pytorch_model.bin", mt.state_dict())
    mt.write_config(folder / "config.json")
    (folder / "vocab.json").write_text('{"a": 0}')
    return folder


def make_large(folder: Path) -> Path:
    """Some 60 MB, so that there is a while in which to be interrupted."""
    config = {"n_embd": 256, "n_head": 4, "n_layer": 8, "vocab_size": 30000, "n_positions": 64}
    folder.mkdir(parents=True, exist_ok=True)
    piece = struct.pack("<64f", *(random.Random(1).uniform(-1, 1) for _ in range(64)))
    tensors = {}
    shapes = {"wte.weight": (30000, 256), "wpe.weight": (64, 256), "ln_f.weight": (256,),
              "ln_f.bias": (256,)}
    for i in range(8):
        for name, shape in (("ln_1", (256,)), ("attn.c_attn", (256, 768)), ("ln_2", (256,)),
                            ("attn.c_proj", (256, 256)), ("mlp.c_fc", (256, 1024)),
                            ("mlp.c_proj", (1024, 256))):
            shapes[f"h.{i}.{name}.weight"] = shape
            shapes[f"h.{i}.{name}.bias"] = shape[-1:]
    for name, shape in shapes.items():
        tensors[name] = ("float32", shape, piece * (mt.product(shape) // 64))
    mt.write_safetensors(folder / "model.safetensors", tensors)
    mt.write_config(folder / "config.json", **config)
    return folder


# --- one input, one output -----------------------------------------------------------------------


def test_the_surroundings_change_no_byte(folder):
    source = make_small(folder / "source")
    (folder / "elsewhere").mkdir()
    (folder / "scratch").mkdir()
    surroundings = [
        {},
        {"cwd": folder / "elsewhere"},
        {"env": {**os.environ, "TMPDIR": str(folder / "scratch")}},
        {"env": {**os.environ, "LC_ALL": "de_DE.UTF-8", "LANG": "tr_TR.UTF-8"}},
        {"env": {**os.environ, "TZ": "Pacific/Kiritimati"}},
        {"env": {}},
        {"umask": 0o077},
    ]
    seen = set()
    for number, how in enumerate(surroundings):
        target = folder / f"{number}.eet"
        done = convert(source, "-o", target, **how)
        assert done.returncode == 0, done.stderr
        seen.add(target.read_bytes())
        time.sleep(0.01)
    assert len(seen) == 1, f"{len(seen)} different files"


def test_zip_and_safetensors_give_one_content_digest(folder):
    digests = set()
    for safetensors in (False, True):
        source = make_small(folder / str(safetensors), safetensors)
        done = convert(source, "-o", folder / f"{safetensors}.eet", "--json")
        digests.add(json.loads(done.stdout)["content_sha256"])
    assert len(digests) == 1, digests


def test_a_file_and_its_folder_give_the_same_file(folder):
    source = make_small(folder / "source")
    convert(source, "-o", folder / "a.eet")
    convert(source / "pytorch_model.bin", "-o", folder / "b.eet")
    assert (folder / "a.eet").read_bytes() == (folder / "b.eet").read_bytes()


def test_provenance_tells_no_place_and_no_time(folder):
    source = make_small(folder / "a_secret_place")
    convert(source, "-o", folder / "a.eet", "--metadata", "note=kept", "--hash-source")
    data = (folder / "a.eet").read_bytes()
    assert b"a_secret_place" not in data and os.uname().nodename.encode() not in data
    assert b"user.note" in data and b"kept" in data and b"src.0.sha256" in data
    convert(source, "-o", folder / "b.eet")
    assert b"src.0.sha256" not in (folder / "b.eet").read_bytes()


# --- streams and exit codes ----------------------------------------------------------------------


def test_the_last_line_has_size_digest_and_next_command(folder):
    done = convert(make_small(folder / "source"), "-o", "model.eet", cwd=folder)
    line = done.stdout.splitlines()[-1]
    assert done.returncode == 0 and done.stderr == "", done.stderr
    assert line.startswith("model.eet: 3") and " KiB, sha256:" in line, line
    assert line.endswith("; next: eet-run model.eet --ids 1,2,3"), line


def test_the_next_command_can_be_typed_and_the_terminal_is_safe(folder):
    source = make_small(folder / "source")
    for name in ("two words.eet", "it's.eet", "-dash.eet", "ä☃.eet", "$HOME;`a`.eet", "a\x1b[31m.eet",
                 "new\nline.eet", b"\xff.eet"):
        done = subprocess.run([CONVERT, source, "-o", name], capture_output=True, cwd=folder,
                              check=False)
        line = done.stdout.decode()
        assert done.returncode == 0 and line.endswith(" --ids 1,2,3\n"), done
        assert "\x1b" not in line and line.count("\n") == 1, line
        command = line.split("; next: ")[1].replace("eet-run", f"{BIN}/eet-run", 1)
        ran = subprocess.run(["bash", "-c", command], capture_output=True, cwd=folder, check=False)
        assert ran.returncode == 0, f"{command}: {ran.stderr}"
    done = convert(source, "--dry-run", "-o", "b\x1b[31m.eet", cwd=folder)
    assert done.returncode == 0 and "\x1b" not in done.stdout, done.stdout


def test_notes_that_cannot_be_kept_say_why(folder):
    source = make_small(folder / "source")
    for note, says in (("A=x", "a-z, 0-9, _ and ."), ("a b=x", "a-z, 0-9, _ and ."), ("=x", "KEY"),
                       ("x", "KEY=VALUE"), ("a" * 101 + "=x", "1 to 100"),
                       (b"k=\xff", "is not UTF-8")):
        done = subprocess.run([CONVERT, source, "-o", folder / "a.eet", "--metadata", note],
                              capture_output=True, check=False)
        assert done.returncode == 2 and says in done.stderr.decode(), (note, done.stderr)
    done = convert(source, "-o", folder / "a.eet", "--metadata", "a.b_1=x=y ☃", "--metadata", "b=")
    assert done.returncode == 0, done.stderr


def test_names_that_are_no_text_are_kept_as_people_are_shown_them(folder):
    source = make_small(folder / "source")
    os.rename(os.fsencode(source / "pytorch_model.bin"), os.fsencode(source) + b"/\xff.bin")
    os.rename(os.fsencode(source / "config.json"), os.fsencode(source) + b"/\xfe.json")
    done = subprocess.run([CONVERT, b"source/\xff.bin", "--config", b"source/\xfe.json", "-o",
                           "a.eet"], capture_output=True, cwd=folder, check=False)
    assert done.returncode == 0, done.stderr
    data = (folder / "a.eet").read_bytes()
    assert rb"\xFF.bin" in data and rb"\xFE.json" in data


def test_an_expression_is_kept_whole_and_must_be_text(folder):
    source = make_small(folder / "source")
    names = "x" + "é" * 400
    done = convert(source, "-o", folder / "a.eet", "--allow-unused", names)
    assert done.returncode == 0, done.stderr
    assert f"allow-unused={names}".encode() in (folder / "a.eet").read_bytes()
    done = subprocess.run([CONVERT, source, "-o", folder / "b.eet", "--allow-unused", b"\xff"],
                          capture_output=True, check=False)
    assert done.returncode == 2 and b"--allow-unused is not UTF-8" in done.stderr, done.stderr


def test_not_even_force_replaces_what_is_converted(folder):
    source = make_small(folder / "source")
    os.symlink("source/config.json", folder / "link")
    for target in (source / "pytorch_model.bin", source / "config.json", folder / "link"):
        before = target.read_bytes()
        done = convert(source, "-o", target, "--force")
        assert done.returncode == 2 and "it is what is converted" in done.stderr, done
        assert target.read_bytes() == before and os.listdir(source) != []


def test_a_file_size_limit_is_an_error_that_leaves_nothing(folder):
    source = make_small(folder / "source")
    limit = (2048, 2048)
    done = convert(source, "-o", folder / "a.eet",
                   preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit))
    assert done.returncode == 5 and "File too large" in done.stderr, done
    assert os.listdir(folder) == ["source"]


def test_a_folder_is_no_target(folder):
    source = make_small(folder / "source")
    (folder / "models").mkdir()
    for more in ((), ("--force",), ("--dry-run",)):
        done = convert(source, "-o", folder / "models", *more)
        assert done.returncode == 2 and "it is a folder" in done.stderr, done.stderr
        assert "--force" not in done.stderr, done.stderr


def test_the_default_target_is_named_after_the_model_and_lies_here(folder):
    source = make_small(folder / "tiny.v2")
    (folder / "here").mkdir()
    assert convert(source, cwd=folder / "here").returncode == 0
    assert convert(source / "pytorch_model.bin", cwd=folder / "here").returncode == 0
    assert sorted(os.listdir(folder / "here")) == ["pytorch_model.eet", "tiny.v2.eet"]


def test_a_dry_run_writes_nothing_and_ends_as_the_real_one(folder):
    source = make_small(folder / "source")
    before = sorted(folder.rglob("*"))
    done = convert(source, "--dry-run", cwd=folder)
    assert done.returncode == 0 and "dec.0000.attn.qkv.w" in done.stdout, done
    assert "nothing was written" in done.stdout.splitlines()[-1]
    told = json.loads(convert(source, "--dry-run", "--json", cwd=folder).stdout)
    assert told["dry_run"] and "content_sha256" not in told
    assert sorted(folder.rglob("*")) == before
    real = convert(source, "--json", "-o", folder / "model.eet")
    assert json.loads(real.stdout)["bytes"] == told["bytes"] == os.path.getsize(folder / "model.eet")
    assert convert(source, "--dry-run", "-o", folder / "model.eet").returncode == 2


def test_json_is_one_document_and_nothing_else(folder):
    source = make_small(folder / "source")
    done = convert(source, "-o", folder / "a.eet", "--json")
    told = json.loads(done.stdout)
    assert told["schema_version"] == 1 and told["architecture"] == "GPT2LMHeadModel"
    assert done.stderr == ""
    failed = convert(source, "-o", folder / "a.eet", "--json")
    assert failed.returncode == 2 and failed.stderr == ""
    assert json.loads(failed.stdout)["error"]["code"] == "EET_E_EXISTS"


def test_a_failure_is_one_line_on_stderr_and_leaves_nothing(folder):
    source = make_small(folder / "source")
    mt.write_config(source / "config.json", n_head=3)
    done = convert(source, "-o", folder / "a.eet")
    assert done.returncode == 4 and done.stdout == "", done
    assert len([x for x in done.stderr.splitlines() if "error:" in x]) == 1, done.stderr
    assert os.listdir(folder) == ["source"]


def test_a_target_that_exists_stays_without_force(folder):
    source = make_small(folder / "source")
    target = folder / "model.eet"
    target.write_text("precious")
    done = convert(source, "-o", target)
    assert done.returncode == 2 and target.read_text() == "precious", done.stderr
    assert "hint: --force" in done.stderr
    assert convert(source, "-o", target, "--force").returncode == 0
    assert target.read_bytes()[1:4] == b"EET"


def test_misuse_is_2_and_a_missing_file_is_5(folder):
    source = make_small(folder / "source")
    for arguments, code in (((), 2), ((source, "-o", "-"), 2), ((source, "--dtype", "f8"), 2),
                            ((source, "--metadata", "=x", "-o", folder / "x"), 2),
                            ((source, source), 2), (("--no-such",), 2),
                            ((folder / "absent",), 5),
                            ((source, "-o", folder / "no" / "model.eet"), 5)):
        done = convert(*arguments, cwd=folder)
        assert done.returncode == code, f"{arguments}: {done.returncode} {done.stderr}"


def test_folders_without_weights_of_ours_are_named(folder):
    for name, code, says in (
            ("adapter_config.json", 3, "PEFT"), ("model.ckpt.index", 3, "TensorFlow"),
            ("other.txt", 3, "neither model.safetensors nor"), ("optimizer.pt", 3, "--weights FILE"),
            ("consolidated.pth", 2, "hint: --weights consolidated.pth reads that file"),
            ("pytorch_model.fp16.bin", 2, "--weights pytorch_model.fp16.bin"),
            ("pytorch_model-00002-of-00003.bin", 4, "not the index of the parts")):
        source = folder / name.replace(".", "_")
        source.mkdir()
        (source / name).write_text("{}")
        mt.write_config(source / "config.json")
        done = convert(source, "-o", folder / "x.eet")
        assert done.returncode == code and says in done.stderr, f"{name}: {done.stderr}"


def test_part_1_of_1_is_a_whole_checkpoint(folder):
    source = make_small(folder / "source", safetensors=True)
    convert(source, "-o", folder / "a.eet")
    only = (source / "model.safetensors").rename(source / "model-00001-of-00001.safetensors")
    for operands in ((only,), (source, "--weights", only.name)):
        done = convert(*operands, "-o", folder / "b.eet", "--force")
        assert done.returncode == 0, done.stderr


def test_an_error_is_about_the_file_that_it_is_about(folder):
    source = make_small(folder / "source")
    (folder / "no").write_text("a file")
    (folder / "there.eet").write_text("precious")
    for target, code in ((folder / "absent" / "a.eet", 5), (folder / "no" / "a.eet", 5),
                         (folder / "there.eet", 2), (source / "config.json", 2)):
        done = convert(source, "-o", target)
        assert done.returncode == code, done.stderr
        assert done.stderr.startswith(f"eet-convert: error: {target}: "), done.stderr
        told = json.loads(convert(source, "-o", target, "--json").stdout)
        assert told["error"]["path"] == str(target), told
    done = convert(source, "-o", source / "config.json", "--force")
    assert done.stderr.startswith(f"eet-convert: error: {source}/config.json: it is what"), done
    mt.write_config(source / "config.json", n_head=3)
    done = convert(source, "-o", folder / "a.eet")
    assert done.stderr.startswith(f"eet-convert: error: {source}: config.json: "), done.stderr
    mt.write_config(source / "config.json")
    done = convert(source, "-o", folder / "a.eet", preexec_fn=lambda: resource.setrlimit(
        resource.RLIMIT_FSIZE, (1024, 1024)))
    assert done.returncode == 5, done.stderr
    assert done.stderr.startswith(f"eet-convert: error: {folder}/a.eet: "), done.stderr


def test_of_several_end_tokens_the_first_is_kept_and_the_others_are_said(folder):
    source = make_small(folder / "source")
    eos = []
    for value in (5, [5], [5, 7, 9]):
        mt.write_config(source / "config.json", eos_token_id=value)
        done = convert(source, "-o", folder / "a.eet", "--force")
        assert done.returncode == 0, done.stderr
        eos.append(subprocess.run([BIN / "eet-inspect", "--key", "dec.tok.eos", folder / "a.eet"],
                                  capture_output=True, text=True, check=True).stdout)
    assert eos == ["5\n"] * 3, eos
    assert 'note: "eos_token_id" names 3 tokens; the first, 5, is kept' in done.stderr, done.stderr
    for value in (["5"], [5.5], "5", {}):
        mt.write_config(source / "config.json", eos_token_id=value)
        done = convert(source, "-o", folder / "a.eet", "--force")
        assert done.returncode == 4 and '"eos_token_id" is' in done.stderr, done.stderr


def test_a_checkpoint_without_its_configuration_asks_for_it(folder):
    source = make_small(folder / "source")
    config = folder / "other.json"
    (source / "config.json").rename(config)
    done = convert(source, "-o", folder / "a.eet")
    assert done.returncode == 2 and "--config FILE" in done.stderr, done.stderr
    done = convert(source / "pytorch_model.bin", "--config", config, "-o", folder / "a.eet")
    assert done.returncode == 0, done.stderr


def test_the_list_of_models_names_every_architecture(_):
    text = convert("--print-supported-models").stdout
    told = json.loads(convert("--print-supported-models", "--json").stdout)
    names = [model["architecture"] for model in told["models"]]
    assert {"GPT2Model", "GPT2LMHeadModel", "BertModel", "BertForMaskedLM"} <= set(names)
    assert all(name in text for name in names)


# --- whole or absent -----------------------------------------------------------------------------


def test_two_at_once_give_one_whole_file(folder):
    source = make_large(folder / "source")
    whole = folder / "whole.eet"
    convert(source, "-o", whole)
    target = folder / "out" / "model.eet"
    target.parent.mkdir()
    for options in ((), ("--force",)):
        target.unlink(missing_ok=True)
        both = [subprocess.Popen([CONVERT, source, "-o", target, *options],
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                for _ in range(2)]
        codes = sorted(process.wait() for process in both)
        assert codes in ([0, 0], [0, 2]), codes
        assert target.read_bytes() == whole.read_bytes()
        assert os.listdir(target.parent) == ["model.eet"]


def interrupt(folder, number, rounds, wanted, stopped_code):
    """Yields, for each round, the exit code and what lies beside the target, for `rounds` rounds
    and on until `wanted` of them ended with `stopped_code`: on a busy machine no duration that was
    measured before says when a signal finds the converter at work."""
    source = make_large(folder / "source")
    whole = folder / "whole.eet"
    start = time.monotonic()
    convert(source, "-o", whole)
    longest = time.monotonic() - start
    draw = random.Random(5)
    stopped = 0
    for index in range(200):
        out = folder / f"out{index}"
        out.mkdir()
        process = subprocess.Popen([CONVERT, source, "-o", out / "model.eet"],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(draw.uniform(0, longest))
        process.send_signal(number)
        code = process.wait()
        yield code, out, whole
        stopped += code == stopped_code
        if index + 1 >= rounds and stopped >= wanted:
            return
        # done before the signal came, or still being loaded: wait less, or longer
        longest *= 0.8 if code == 0 else 1.25 if code != stopped_code else 1
    raise AssertionError(f"only {stopped} of 200 were stopped in time")


def test_a_killed_converter_leaves_no_torn_target(folder):
    for _, out, whole in interrupt(folder, signal.SIGKILL, 20, 5, -signal.SIGKILL):
        for entry in out.iterdir():
            data = entry.read_bytes()
            is_whole = data == whole.read_bytes()
            # a temporary is no .eet file until its last page, the first, is written
            assert is_whole or (entry.name != "model.eet" and not any(data[:4096])), entry
            entry.unlink()


def test_an_interrupted_converter_cleans_up(folder):
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        for code, out, _ in interrupt(folder / number.name, number, 8, 2, 130):
            # before main runs the signal's own action holds; after the rename it is done
            assert code in (130, 0, -number), code
            assert [x.name for x in out.iterdir()] in ([], ["model.eet"]), list(out.iterdir())


def test_no_room_for_the_file_is_5_and_leaves_nothing(folder):
    source = make_large(folder / "source")
    out = folder / "out"
    out.mkdir()
    done = convert(source, "-o", out / "model.eet", restore_signals=False,
                   preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20)))
    assert done.returncode == 5, f"{done.returncode} {done.stderr}"
    assert os.listdir(out) == [], os.listdir(out)


def test_no_progress_goes_to_a_pipe(folder):
    done = convert(make_large(folder / "source"), "-o", folder / "a.eet")
    assert done.stderr == "" and "\r" not in done.stdout, done.stderr


def test_progress_goes_to_a_terminal_and_wipes_itself(folder):
    main, terminal = pty.openpty()
    done = convert(make_large(folder / "source"), "-o", folder / "a.eet", capture_output=False,
                   stdout=subprocess.PIPE, stderr=terminal,
                   env={**os.environ, "TERM": "xterm"})
    os.close(terminal)
    told = b""
    while select.select([main], [], [], 0)[0]:
        try:
            told += os.read(main, 65536)
        except OSError:
            break
    os.close(main)
    assert done.returncode == 0 and b"tensor" in told and b"\r" in told, told
    assert b"\n" not in told.strip(), told


def main() -> int:
    wanted = sys.argv[1:]
    tests = {name: test for name, test in globals().items() if name.startswith("test_")}
    failed = 0
    for name, test in tests.items():
        if wanted and name not in wanted:
            continue
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "x").mkdir()
            try:
                test(Path(folder) / "x")
            except (AssertionError, subprocess.TimeoutExpired, ValueError) as error:
                failed += 1
                print(f"{name}: {error}")
    print(f"{len(tests)} tests, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
