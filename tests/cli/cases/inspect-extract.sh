#!/usr/bin/env bash
# All assets into a new folder, then one of them; what comes out has its digest.
eet-inspect --extract -o out/ good.eet || exit
sha256sum out/config.json out/vocab.json
ls -A out
eet-inspect --extract=vocab.json -o one --json good.eet || exit
eet-inspect --extract -o none encdec.eet || exit
ls -A none
