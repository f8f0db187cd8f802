#!/usr/bin/env bash
# A target is never replaced by accident, and nothing is left beside it.
echo mine >there.npy
eet-inspect --tensor dec.norm.w --dump npy -o there.npy good.eet
code=$?
cat there.npy
ls -A
eet-inspect --tensor dec.norm.w --dump npy -o there.npy --force good.eet >/dev/null && wc -c <there.npy
exit $code
