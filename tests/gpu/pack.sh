#!/usr/bin/env bash
# pack.sh - one folder that gpu_check runs in on another machine.
#   pack.sh BUILD OUT [CHECKPOINT ...]           (without names: every checkpoint)
#   pack.sh --model BUILD OUT CHECKPOINT DTYPE   (one model of it)
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
limit=$((40 << 20))

if [ "$1" = --model ]; then
    said=$("$2/bin/eet-convert" "$root/fixtures/checkpoints/$4/" --dtype "$5" --force \
        -o "$3/models/$4.$5.eet" 2>&1) || {
        echo "$4 as $5: $said" >&2
        exit 255 # xargs stops
    }
    exit 0
fi

build=$1 out=$2
shift 2
rm -rf "$out"
mkdir -p "$out/models"
"$build/tests/pack_goldens" "$out/goldens.eet" "$root/fixtures/golden"

if [ $# -eq 0 ]; then
    mapfile -t names < <(ls "$root/fixtures/checkpoints")
    set -- "${names[@]}"
fi
for name in "$@"; do
    for dtype in f32 f16 bf16; do
        echo "$name $dtype"
    done
done | xargs -P "$(nproc)" -L 1 bash "${BASH_SOURCE[0]}" --model "$build" "$out"

cp -L "$build/tests/gpu_check" "$build/lib/libeet.so.1" "$out/"
if [ -e "$build/lib/libeet_cuda.so" ]; then
    cp "$build/lib/libeet_cuda.so" "$build"/lib/test_cuda_* "$out/"
fi
strip "$out/gpu_check"

commit=$(git -C "$root" rev-parse --short=12 HEAD 2>/dev/null || echo unknown)
git -C "$root" diff --quiet HEAD 2>/dev/null || commit+=-dirty
echo "$commit" >"$out/commit"

bytes=$(du -sb "$out" | cut -f1)
if [ "$bytes" -gt "$limit" ]; then
    echo "$out has $bytes bytes, more than $limit" >&2
    exit 1
fi
echo "$out: $((bytes >> 20)) MiB, commit $commit"
