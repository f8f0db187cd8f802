"""Checkpoints in several files, links and folders: 30, 31 and 62 of docs/refusals.md."""
import json
import os
import subprocess
from pathlib import Path

import make_torch as mt
from hostile import Case

BIN = Path(os.environ["EET_BIN"])
NAMES = ["model-00001-of-00003.safetensors", "model-00002-of-00003.safetensors",
         "model-00003-of-00003.safetensors"]
INDEX = "model.safetensors.index.json"
WTE, WPE = "transformer.wte.weight", "transformer.wpe.weight"


class Shards:
    """A tiny GPT-2 in three files, to be spoiled: parts[i] are the tensors of NAMES[i]."""

    def __init__(self):
        tensors = mt.state_dict()
        tensors.pop("lm_head.weight")
        names = sorted(tensors)
        self.parts = [{name: tensors[name] for name in names[i::3]} for i in range(3)]
        self.map = {name: NAMES[i] for i in range(3) for name in self.parts[i]}
        self.total = sum(len(data) for _, _, data in tensors.values())
        self.index = INDEX

    def part_of(self, tensor):
        return next(i for i in range(3) if tensor in self.parts[i])

    def write(self, folder: Path, text=None) -> list:
        for name, tensors in zip(NAMES, self.parts):
            mt.write_safetensors(folder / name, tensors)
        document = {"metadata": {"total_size": self.total}, "weight_map": self.map}
        (folder / self.index).write_text(json.dumps(document) if text is None else text)
        mt.write_config(folder / "config.json")
        return [folder]


def shards(change=None, after=None, text=None):
    """change(shards) before the files are written, after(folder) once they are."""

    def make(folder: Path) -> list:
        made = Shards()
        if change:
            change(made)
        operands = made.write(folder, text)
        if after:
            operands = after(folder) or operands
        return operands

    return make


def whole(folder: Path) -> list:
    mt.write_safetensors(folder / "model.safetensors", mt.state_dict())
    mt.write_config(folder / "config.json")
    return [folder]


# --- changes ---------------------------------------------------------------------------------------


def name_file(name: str, tensor=WTE):
    def change(made):
        made.map[tensor] = name

    return change


def every_file(name: str):
    def change(made):
        made.map = {tensor: name for tensor in made.map}

    return change


def absent(made):
    """The map has a tensor that is nowhere."""
    made.map["transformer.h.7.ln_1.weight"] = NAMES[1]


def million(made):
    for i in range(10 ** 6):
        made.map[f"a.{i}"] = NAMES[i % 3]


def thousand_files(made):
    for i in range(1000):
        made.map[f"a.{i}"] = f"part-{i:04}.bin"


def many_files(made):
    for i in range(20000):
        made.map[f"a.{i}"] = f"part-{i}.bin"


def elsewhere(made):
    """A tensor in another file than the map says."""
    at = made.part_of(WTE)
    made.parts[(at + 1) % 3][WTE] = made.parts[at].pop(WTE)


def twice(different: bool):
    def change(made):
        at = made.part_of(WTE)
        dtype, shape, data = made.parts[at][WTE]
        data = bytes([data[0] ^ different]) + data[1:]
        made.parts[(at + 1) % 3][WTE] = (dtype, shape, data)

    return change


def twice_of_another_shape(made):
    at = made.part_of(WTE)
    dtype, shape, data = made.parts[at][WTE]
    made.parts[(at + 1) % 3][WTE] = (dtype, shape[::-1], data)


def unnamed(tensor: str):
    """The map leaves one out."""

    def change(made):
        made.map.pop(tensor)

    return change


def unnamed_twice(made):
    made.map.pop(WTE)
    at = made.part_of(WTE)
    made.parts[(at + 1) % 3][WTE] = made.parts[at][WTE]


def own_head(different: bool):
    """The tied head as a copy of its own, in another file than the embedding."""

    def change(made):
        at = made.part_of(WTE)
        dtype, shape, data = made.parts[at][WTE]
        made.parts[(at + 1) % 3]["lm_head.weight"] = (
            dtype, shape, bytes([data[0] ^ different]) + data[1:])
        made.map["lm_head.weight"] = NAMES[(at + 1) % 3]
        made.total += len(data)

    return change


def old_masks(made):
    """What GPT-2 files had until transformers 4.30, and how it counted them."""
    mask = "transformer.h.0.attn.bias"
    made.parts[0][mask] = ("bool", (1, 1, 8, 8), bytes([1]) * 64)
    made.map[mask] = NAMES[0]
    made.total += 64 / 8


def total(value):
    def change(made):
        made.total = value

    return change


# --- what happens to the folder ----------------------------------------------------------------------


def remove(*names):
    def after(folder):
        for name in names:
            (folder / name).unlink()

    return after


def write(name: str, data: bytes):
    def after(folder):
        (folder / name).write_bytes(data)

    return after


def link(name: str, target: str):
    """The file becomes a link to `target`."""

    def after(folder):
        (folder / name).unlink()
        (folder / name).symlink_to(target)

    return after


def move_out(name: str):
    def after(folder):
        (folder.parent / "elsewhere").mkdir()
        (folder / name).rename(folder.parent / "elsewhere" / name)
        (folder / name).symlink_to(folder.parent / "elsewhere" / name)

    return after


def rename(name: str, other: str):
    """Moves the file, and leaves a link to it."""

    def after(folder):
        (folder / name).rename(folder / other)
        (folder / name).symlink_to(other)

    return after


def hard_link(folder):
    (folder / NAMES[1]).unlink()
    os.link(folder / NAMES[0], folder / NAMES[1])


def pipe(folder):
    (folder / NAMES[1]).unlink()
    os.mkfifo(folder / NAMES[1])


def directory(folder):
    (folder / NAMES[1]).unlink()
    (folder / NAMES[1]).mkdir()


def part_alone(folder):
    return [folder / NAMES[1]]


def part_without_index(folder):
    (folder / INDEX).unlink()
    return [folder / NAMES[1]]


def the_index(folder):
    return [folder / INDEX]


def spoiled_index(folder: Path, front: bytes) -> list:
    operands = Shards().write(folder)
    (folder / INDEX).write_bytes(front + (folder / INDEX).read_bytes())
    return operands


def as_variant(folder):
    (folder / INDEX).rename(folder / "model.safetensors.index.fp16.json")


# --- a hub cache -------------------------------------------------------------------------------------


def cache(spoil=None, operand="snapshots/0123abcd"):
    """models--x/{blobs,snapshots/0123abcd}: every file is a link to a blob."""

    def make(folder: Path) -> list:
        root = folder / "models--x"
        snapshot = root / "snapshots" / "0123abcd"
        snapshot.mkdir(parents=True)
        (root / "blobs").mkdir()
        Shards().write(snapshot)
        (snapshot / "vocab.json").write_text('{"a": 0}')
        for i, file in enumerate(sorted(snapshot.iterdir())):
            blob = f"{i:02x}{'e' * 38}"
            file.rename(root / "blobs" / blob)
            file.symlink_to(f"../../blobs/{blob}")
        if spoil:
            spoil(root, snapshot)
        return [root / operand]

    return make


def escape(root, snapshot):
    (snapshot / NAMES[1]).unlink()
    (snapshot / NAMES[1]).symlink_to("../../../../../../../../etc/passwd")


def escaping_asset(root, snapshot):
    (snapshot / "vocab.json").unlink()
    (snapshot / "vocab.json").symlink_to("../../../../../../../../etc/passwd")


def second_revision(root, snapshot):
    (snapshot.parent / "89abcdef").mkdir()


def lost_blob(root, snapshot):
    (snapshot / NAMES[1]).resolve().unlink()


def blob_is_a_link(root, snapshot):
    blob = (snapshot / NAMES[1]).resolve()
    blob.unlink()
    blob.symlink_to("/etc/passwd")


def one_blob_twice(root, snapshot):
    target = os.readlink(snapshot / NAMES[0])
    (snapshot / NAMES[1]).unlink()
    (snapshot / NAMES[1]).symlink_to(target)


def linked_folder(folder: Path) -> list:
    Shards().write(folder)
    (folder.parent / "link").symlink_to("in")
    return [folder.parent / "link"]


def loop(folder: Path) -> list:
    (folder / "a").symlink_to("b")
    (folder / "b").symlink_to("a")
    return [folder / "a"]


def single(name: str, target: str):
    """A whole checkpoint, one of whose files is a link."""

    def make(folder: Path) -> list:
        whole(folder)
        (folder / "vocab.json").write_text("{}")
        (folder / name).rename(folder.parent / name)
        (folder / name).symlink_to(target.format(folder.parent / name))
        return [folder]

    return make


def tell(*expected):
    """The names of the files in the provenance."""

    def check(_, output):
        told = subprocess.run([BIN / "eet-inspect", "--json", "--provenance", output],
                              capture_output=True, check=True)
        found = json.loads(told.stdout)["provenance"]
        names = [found[f"src.{i}.name"] for i in range(len(expected))]
        assert names == list(expected), names
        assert f"src.{len(expected)}.name" not in found

    return check


def no_note(folder, output):
    told = subprocess.run([BIN / "eet-convert", folder, "-o", output, "--force"], text=True,
                          capture_output=True, check=True)
    assert told.stderr == "", told.stderr


def refused(name: str, make, says: str, code=4, **more) -> Case:
    return Case(62, name, make, code, says, **more)


GOOD = {"same_as": whole}
FOLLOW = ("--follow-symlinks",)

CASES = [
    Case(62, "three files", shards(), 0, **GOOD, check=tell(INDEX, *NAMES, "config.json")),
    Case(62, "the index itself", shards(after=the_index), 0, **GOOD),
    Case(62, "no metadata", shards(text='{"weight_map": ' + json.dumps(Shards().map) + "}"), 0,
         **GOOD),
    Case(62, "a long metadata before the map", shards(text=json.dumps(
        {"metadata": {"note": "x" * 5000}, "weight_map": Shards().map})), 0, **GOOD),
    refused("a path upwards", shards(name_file("../../etc/passwd")),
            'names "../../etc/passwd", a path'),
    refused("an absolute path", shards(name_file("/etc/passwd")), 'names "/etc/passwd", a path'),
    refused("a path into a folder", shards(name_file("sub/model.safetensors")), "a path"),
    refused("two points", shards(name_file("..")), 'names "..", a path'),
    refused("one point", shards(every_file(".")), 'names ".", a path'),
    refused("no name", shards(name_file("")), "a file's name is 1 to 128"),
    refused("a name of 129 bytes", shards(name_file("a" * 129)), "a file's name is 1 to 128"),
    refused("a backslash", shards(name_file("a\\b")), "a file's name is"),
    refused("a newline and an escape", shards(name_file("a\n\x1b[31m.bin")), "\\x1B"),
    refused("NUL", shards(name_file("a\0b.bin")), "JSON"),
    refused("a file that is a number", shards(name_file(7)), "the index has an integer"),
    refused("a file that is a list", shards(name_file([NAMES[0]])), "the index has an array"),
    refused("a missing file", shards(after=remove(NAMES[1])),
            f"1 of the 3 files that the index names are missing: {NAMES[1]}"),
    refused("all files missing", shards(after=remove(*NAMES)), ": " + ", ".join(NAMES)),
    refused("a thousand files missing", shards(thousand_files), "1000 of the 1003 files"),
    refused("a tensor that is nowhere", shards(absent),
            '"transformer.h.7.ln_1.weight" of ' + NAMES[1]),
    refused("a tensor in the wrong file", shards(elsewhere), 'tensor "transformer.wte.weight" is in'),
    refused("a tensor in two files, different", shards(twice(True)), "and they differ"),
    refused("a tensor in two files, of two shapes", shards(twice_of_another_shape),
            "and they differ"),
    Case(62, "a tensor in two files, equal", shards(twice(False)), 0, "and once more in", **GOOD),
    refused("an unnamed tensor in two files", shards(unnamed_twice), "two tensors are called"),
    Case(62, "a tensor that the map leaves out", shards(unnamed(WTE)), 0,
         'the index does not name tensor "transformer.wte.weight"', **GOOD),
    refused("a million entries", shards(million), "1000000 of the"),
    refused("twenty thousand files", shards(many_files), "at most 10000 are read", 6),
    Case(62, "total_size lies", shards(total(7)), 0, '"total_size" of the index is 7', **GOOD),
    Case(62, "total_size counts booleans as bits", shards(old_masks), 0, check=no_note),
    Case(62, "total_size is text", shards(total("7 GB")), 0, "no number", **GOOD),
    Case(62, "total_size is huge", shards(total(10 ** 30)), 0, "total_size", **GOOD),
    refused("an empty map", shards(text='{"metadata": {}, "weight_map": {}}'), "names no tensors"),
    refused("a map that is a list", shards(text='{"metadata": {}, "weight_map": []}'),
            "is an array, expected an object"),
    refused("no map", shards(text='{"metadata": {"total_size": 1}}'), 'no "weight_map"'),
    refused("one tensor twice in the map", shards(text='{"weight_map": {"a": "%s", "a": "%s"}}'
                                                  % (NAMES[0], NAMES[1])), "duplicate"),
    refused("a byte order mark", lambda folder: spoiled_index(folder, b"\xef\xbb\xbf"),
            "wrong JSON"),
    refused("half an index", shards(text='{"weight_map": {"a": '), "wrong JSON"),
    refused("an index of an index", shards(every_file(INDEX)), "this is an index"),
    refused("a part that is a configuration", shards(every_file("config.json")),
            "this is a configuration", 3),
    refused("a part that is a git-lfs pointer", shards(
        after=write(NAMES[1], b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n")),
            f'{NAMES[1]}: this is a git-lfs pointer', 3),
    refused("a part that is empty", shards(after=write(NAMES[1], b"")), f"{NAMES[1]}: 0 bytes"),
    refused("one file by two names", shards(after=hard_link), "by another name"),
    refused("a part that is a pipe", shards(after=pipe), f"{NAMES[1]}: the file is a pipe", 5),
    refused("a part that is a folder", shards(after=directory), "the file is a directory", 5),
    refused("a part that is a link to a device", shards(after=link(NAMES[1], "/dev/zero")),
            "a symbolic link out of its folder"),
    refused("a part that is a link to a device, followed", shards(after=link(NAMES[1], "/dev/zero")),
            "is a device", 5, options=FOLLOW),
    refused("a part that is a link outside", shards(after=move_out(NAMES[1])),
            f"{NAMES[1]}: the file is a symbolic link out of its folder"),
    Case(62, "a part that is a link outside, followed", shards(after=move_out(NAMES[1])), 0,
         options=FOLLOW, **GOOD),
    refused("a part that is a link beside", shards(after=rename(NAMES[1], "x.safetensors")),
            "hint: --follow-symlinks follows it", 2),
    refused("a part that is a link to itself", shards(after=link(NAMES[1], NAMES[1])),
            "is a symbolic link", 2),
    refused("a part that is a link to nothing", shards(after=link(NAMES[1], "nothing")),
            "are missing: "),
    Case(62, "the tied head in another file, equal", shards(own_head(False)), 0, **GOOD),
    refused("the tied head in another file, different", shards(own_head(True)), "differs from", 2),
    refused("one part alone", shards(after=part_alone), "it is part 2 of 3 of a checkpoint", 2),
    refused("one part alone, and no index", shards(after=part_without_index),
            "their index is not beside it", 2),
    refused("parts without their index", shards(after=remove(INDEX)), "not the index of the parts"),
    refused("a variant is asked for by name", shards(after=as_variant),
            "--weights model.safetensors.index.fp16.json", 2),
    Case(62, "a variant by name", shards(after=as_variant), 0,
         options=("--weights", "model.safetensors.index.fp16.json")),
    Case(30, "a hub cache", cache(), 0, check=tell(INDEX, *NAMES, "config.json")),
    Case(30, "the index in a hub cache", cache(operand="snapshots/0123abcd/" + INDEX), 0),
    Case(30, "a hub cache, not the revision in it", cache(operand="."), 2,
         "hint: give snapshots/0123abcd in it"),
    Case(30, "a hub cache with two revisions", cache(second_revision, operand="."), 2,
         "give the folder of a revision below snapshots/ in it"),
    Case(30, "nothing", lambda folder: [folder / "gpt2"], 5, "nothing is downloaded"),
    Case(30, "a hub cache whose link leads out", cache(escape), 4, "out of its folder"),
    Case(30, "a hub cache whose asset leads out", cache(escaping_asset), 2, "vocab.json: the file"),
    Case(30, "a hub cache without a blob", cache(lost_blob), 4, "are missing: "),
    Case(30, "a hub cache whose blob is a link", cache(blob_is_a_link), 5, "symbolic links"),
    Case(30, "a hub cache with one blob for two parts", cache(one_blob_twice), 4,
         "by another name"),
    Case(30, "a linked folder", linked_folder, 0, **GOOD),
    Case(30, "links in a circle", loop, 5, "symbolic links"),
    Case(30, "weights behind a link", single("model.safetensors", "{}"), 2,
         "hint: --follow-symlinks follows it"),
    Case(30, "weights behind a link, followed", single("model.safetensors", "{}"), 0,
         options=FOLLOW),
    Case(30, "the configuration behind a link", single("config.json", "{}"), 2,
         "config.json: the file is a symbolic link"),
    Case(30, "an asset behind a link", single("vocab.json", "{}"), 2,
         "vocab.json: the file is a symbolic link"),
    Case(30, "an asset that is a link to a device, followed", single("vocab.json", "/dev/zero"), 5,
         "vocab.json: the file is a device", options=FOLLOW),
]
