#!/usr/bin/env python3
"""hexdump.py - every line of the dump that ends docs/format.md is what the golden file holds, and
what the notes there call the beginning and the parts of the file is in it."""
import re
import sys

LINE = re.compile(r"^([0-9a-f]{8})  ((?:[0-9a-f]{2} ){0,15}[0-9a-f]{2})(?:  |$)")

with open("docs/format.md", encoding="utf-8") as page:
    text = page.read().split("## A file, byte by byte")[1]
with open("fixtures/eet/golden-1.0.eet", "rb") as file:
    data = file.read()

lines = [match for match in map(LINE.match, text.splitlines()) if match]
seen = set()
for match in lines:
    at, dumped = int(match[1], 16), bytes.fromhex(match[2])
    if data[at:at + len(dumped)] != dumped:
        sys.exit("docs/format.md: the line %s is not in the file, which has\n%s  %s"
                 % (match[0], match[1], data[at:at + len(dumped)].hex(" ")))
    seen.update(range(at, at + len(dumped)))

shown = [line for line in text.splitlines() if re.match("^[0-9a-f]{8} ", line)]
if len(shown) != len(lines) or len(lines) < 50:
    sys.exit("docs/format.md: %d lines look like a dump, %d are one" % (len(shown), len(lines)))
# Page 0 up to its last section must be there or zero: the page explains the whole header.
missing = [at for at in range(256) if at not in seen and data[at] != 0]
if missing:
    sys.exit("docs/format.md: byte %d of the header is not explained" % missing[0])
print("%d lines, %d bytes of %d" % (len(lines), len(seen), len(data)))
