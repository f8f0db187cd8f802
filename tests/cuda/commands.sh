#!/usr/bin/env bash
# commands.sh DOUBLE - the commands on a CUDA device, which is a double of one: what they say of
# speed and memory, eet-bench against the device's own bounds, and how each ends where there is no
# memory, no driver or no device. EET_DOUBLE sets the double's fields.
set -euo pipefail
export EET_BACKEND_PATH=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

# Not beside the real backend: that is looked for first.
mkdir "$work/bin" "$work/lib"
cp "$EET_BIN"/eet-{run,encode,bench} "$work/bin"
cp "$EET_BIN"/../lib/libeet.so.1 "$work/lib"
"$EET_BIN/eet-convert" fixtures/checkpoints/gpt2_tiny -o "$work/gpt2.eet" >/dev/null 2>&1
"$EET_BIN/eet-convert" fixtures/checkpoints/bert_tiny -o "$work/bert.eet" >/dev/null 2>&1
cd "$work"

# ends CODE WORDS COMMAND...: with words on standard error, of all lines together.
ends() {
    local code=$1 words=$2 got=0
    shift 2
    "$work/bin/$1" "${@:2}" >stdout 2>stderr </dev/null || got=$?
    if [ "$got" != "$code" ] || ! { cat stderr; echo; } | tr '\n' ' ' | grep -E -- "$words" >/dev/null; then
        echo "$*: exit $got, '$(cat stderr)'"
        failed=1
    fi
}

device='; on the device graphs [0-9.]+, CUDA and others [0-9.]+, free [0-9.]+  $'
own='memory, in MiB: weights [0-9.]+, cache [0-9.]+, workspace [0-9.]+, the session.s own [0-9.]+'
ends 0 "decode: 4 tokens in .* tokens/s $own$device" eet-run gpt2.eet --ids 1,2,3 -n 5 --timings --device cuda
ends 0 "decode: 4 tokens in .* tokens/s $own  \$" eet-run gpt2.eet --ids 1,2,3 -n 5 --timings --device cpu
ends 0 "encode: 3 tokens in .* tokens/s $own$device" eet-encode bert.eet --ids 1,2,3 --timings
ends 0 "encode: 3 tokens in .* tokens/s $own  \$" eet-encode bert.eet --ids 1,2,3 --timings --device cpu

"$work/bin/eet-run" gpt2.eet --ids 1,2,3 -n 5 --device cuda >there
"$work/bin/eet-run" gpt2.eet --ids 1,2,3 -n 5 --device cpu >here
cmp there here || failed=1

# eet-bench: the double reads 4e12 bytes and multiplies 6e13 or 9e14 numbers a second.
for dtype in f32 f16; do
    ends 0 "" eet-bench gpt2.eet --device cuda:0 --dtype $dtype --check -p 7 -n 3 -r 1 --format json
    python3 - $dtype stdout <<'EOF' || { echo "eet-bench in $dtype: $(cat stdout)"; failed=1; }
import json, sys
doc = json.load(open(sys.argv[2]))
peak = {"f32": 6e13, "f16": 9e14}[sys.argv[1]]
bound = {"f32": 1e-5, "f16": 4e-3}[sys.argv[1]]
for r in doc["results"]:
    assert r["isa"] == "cuda:0" and r["dtype"] == sys.argv[1] and r["threads"] == 1
    assert r["read_rate"] == 4e12 and r["peak"] == peak
    assert all(r["memory"][k] > 0 for k in ("weights", "cache", "workspace", "library", "free", "host"))
assert [r["test"] for r in doc["results"]] == ["prefill", "decode"]
assert doc["results"][1]["memory"]["graphs"] > 0
assert [(c["good"], c["bound"], c["dtype"]) for c in doc["checks"]] == [(True, bound, sys.argv[1])]
EOF
done
ends 0 "" eet-bench bert.eet --check -p 6 -r 1
grep -q '^cuda:0 f32: memory is read at 4000.0 GB/s, multiply-adds peak at 60000 GFLOP/s$' stdout ||
    { cat stdout; failed=1; }
ends 2 'is no device' eet-bench gpt2.eet --device tpu

# How it ends: 6 without memory, 7 without a device; auto goes to the CPU for the latter.
EET_DOUBLE=unused=1000 ends 6 'CUDA device 0 has no memory left to start in' eet-run gpt2.eet --ids 1 --device cuda
EET_DOUBLE=unused=9000000 ends 6 'no memory on cuda:0 for .* of weights' eet-run gpt2.eet --ids 1 --device cuda
EET_DOUBLE=driver=0 ends 7 'no CUDA driver is installed' eet-encode bert.eet --ids 1 --device cuda
EET_DOUBLE=driver=12040 ends 7 'the driver is for CUDA 12.4' eet-bench gpt2.eet --device cuda
EET_DOUBLE=devices=0 ends 7 'this machine has no CUDA device' eet-run gpt2.eet --ids 1 --device cuda
EET_DOUBLE=capability=61 ends 7 'has compute capability 6.1' eet-run gpt2.eet --ids 1 --device cuda
EET_DOUBLE=no_code=1 ends 7 'this build has no code for CUDA device 0' eet-run gpt2.eet --ids 1 --device cuda
EET_DOUBLE=fails=40 ends 7 'an injected error' eet-run gpt2.eet --ids 1 --device cuda
EET_DOUBLE=driver=0 ends 0 "$own  \$" eet-run gpt2.eet --ids 1,2 --timings
EET_DOUBLE=driver=0 ends 0 "" eet-bench gpt2.eet -p 0 -n 0
[ "$failed" = 0 ] && echo "commands run on a CUDA device, or say why not"
exit "$failed"
