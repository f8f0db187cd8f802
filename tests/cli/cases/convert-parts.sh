#!/usr/bin/env bash
# A checkpoint in several files: what is read, and the index instead of the folder.
cp -r "$OLDPWD/fixtures/sharded/gpt2_tiny_bin" gpt2
eet-convert gpt2 | sed 's/sha256:[0-9a-f]*/DIGEST/'
eet-inspect --provenance gpt2.eet | grep '^src' | grep -v bytes
eet-convert gpt2/pytorch_model.bin.index.json | sed 's/sha256:[0-9a-f]*/DIGEST/'
cmp gpt2.eet pytorch_model.eet && echo the same
