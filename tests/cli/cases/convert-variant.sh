#!/usr/bin/env bash
# A variant is read when it is asked for.
cp -r "$OLDPWD/fixtures/sharded/bert_mlm_variant" bert
eet-convert bert && exit 99
eet-convert bert --weights model.safetensors.index.v1.json | sed 's/sha256:[0-9a-f]*/DIGEST/'
