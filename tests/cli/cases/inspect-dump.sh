#!/usr/bin/env bash
# .npy files: the header, f32 as it is, bf16 widened; raw is the stored bytes.
eet-inspect --tensor dec.norm.w --dump npy -o norm.npy good.eet >/dev/null
eet-inspect --tensor enc.emb.proj_in.w --dump npy -o wide.npy encdec.eet >/dev/null
eet-inspect --tensor enc.emb.proj_in.w --dump raw -o narrow.raw encdec.eet >/dev/null
for file in norm.npy wide.npy narrow.raw; do od -A d -t x1z "$file"; done
ls -A
