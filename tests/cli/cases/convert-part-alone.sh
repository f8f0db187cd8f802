#!/usr/bin/env bash
# One part of several is no checkpoint.
cp -r "$OLDPWD/fixtures/sharded/bert_mlm_safetensors" bert
eet-convert bert/model-00002-of-00003.safetensors
