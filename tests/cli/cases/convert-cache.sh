#!/usr/bin/env bash
# A cache of Transformers: its folder of a revision, not the one around it.
snapshot=models--x/snapshots/0a1b
mkdir -p $snapshot models--x/blobs
id=100
for file in "$OLDPWD"/fixtures/sharded/bert_mlm_safetensors/*; do
    cp "$file" models--x/blobs/$id
    ln -s ../../blobs/$id "$snapshot/${file##*/}"
    id=$((id + 1))
done
eet-convert models--x && exit 99
eet-convert $snapshot -o x.eet | sed 's/sha256:[0-9a-f]*/DIGEST/'
