#!/usr/bin/env bash
# One value of META or PROV, for scripts.
for key in arch.family dec.layers dec.norm_eps dec.pre_norm src.0.bytes src.0.name; do
    eet-inspect --key "$key" good.eet
done
eet-inspect --key dec.emb.scale --json good.eet
