#!/usr/bin/env bash
# The same content is silence and 0, whatever the bytes: a file, a copy, other provenance.
eet-diff good.eet good.eet || exit
cp good.eet copy.eet
eet-diff --stats good.eet copy.eet || exit
eet-diff --quick good.eet copy.eet || exit
eet-diff --metadata-only --provenance good.eet copy.eet || exit
eet-diff -q encdec.eet encdec.eet || exit
eet-diff --json nan.eet nan.eet
