#!/usr/bin/env bash
cp -r "$OLDPWD/fixtures/sharded/bert_mlm_safetensors" bert
rm bert/model-0000[13]*
eet-convert bert
