#!/usr/bin/env bash
# An error about the target names the target.
cp -r "$OLDPWD/fixtures/sharded/bert_mlm_safetensors" bert
eet-convert bert -o nowhere/bert.eet
