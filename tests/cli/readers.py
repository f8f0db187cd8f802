#!/usr/bin/env python3
"""readers.py - two readers that share no line of code say the same of every golden file:
tests/read_eet.py, made from docs/format.md, and eet-inspect --json. What the first prints is also
compared with fixtures/eet/<name>.json (EET_BLESS=1 writes it)."""
import glob
import json
import os
import subprocess
import sys

inspect = os.path.join(os.environ["EET_BIN"], "eet-inspect")


def run(*command):
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)


files = sorted(glob.glob("fixtures/eet/golden-*.eet"))
for path in files:
    mine = run(sys.executable, "tests/read_eet.py", path)
    kept = path[:-4] + ".json"
    if os.environ.get("EET_BLESS"):
        with open(kept, "w", encoding="utf-8") as file:
            json.dump(mine, file, indent=1)
            file.write("\n")
    with open(kept, encoding="utf-8") as file:
        if json.load(file) != mine:
            sys.exit("%s: read_eet.py does not say what %s has" % (path, kept))

    theirs = run(inspect, "--json", path)
    theirs["sections"] = [[s["type"], s["offset"], s["stored_bytes"]] for s in theirs["sections"]]
    for tensor in theirs["tensors"]:
        if tensor.pop("required") is not True or tensor.pop("layout") != 0:
            sys.exit("%s: %s" % (path, tensor["name"]))
    for key, value in mine.items():
        if theirs[key] != value:
            sys.exit("%s: \"%s\" differs:\n%s\n%s" % (path, key, theirs[key], value))
    if theirs["totals"]["tensors"] != len(mine["tensors"]) or theirs["path"] != path:
        sys.exit("%s: totals or path" % path)
print("%d files read alike by two readers" % len(files))
assert len(files) >= 2
