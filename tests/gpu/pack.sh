#!/usr/bin/env bash
# pack.sh - one folder that gpu_check runs in on another machine.
#   pack.sh BUILD OUT [CHECKPOINT ...]           (without names: every checkpoint; EET_SUITES
#                                                 has the suites of ops, between colons)
#   pack.sh --model BUILD OUT CHECKPOINT DTYPE   (one model of it)
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
limit=$((40 << 20))

# What gpu-bench needs: its programs, and eet-convert with all libraries that it has here but
# glibc's, in one archive.
pack_bench() {
    local folder=$work/convert library

    mkdir -p "$folder" "$out/bench"
    cp "$root"/tests/bench/gpu/*.py "$out/bench/"
    cp "$build/bin/eet-convert" "$folder/"
    strip "$folder/eet-convert"
    ldd "$folder/eet-convert" | awk '$2 == "=>" { print $3 }' >"$work/libraries"
    while read -r library; do
        case $(basename "$library") in
        libc.so.* | libm.so.* | libresolv.so.* | libpthread.so.* | libdl.so.* | librt.so.*) ;;
        *) cp -L "$library" "$folder/" ;;
        esac
    done <"$work/libraries"
    tar -C "$folder" -czf "$out/bench/convert.tar.gz" .
}

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
# Every model computes in every dtype; a few have files in these too.
for name in "$@"; do
    echo "$name f32"
    case $name in
    gpt2_tiny | gpt2_f16 | gpt2_bf16 | bert_tiny | fs012_nmt) printf '%s\n' "$name f16" "$name bf16" ;;
    esac
done | xargs -P "$(nproc)" -L 1 bash "${BASH_SOURCE[0]}" --model "$build" "$out"

cp -L "$build/tests/gpu_check" "$build/lib/libeet.so.1" "$out/"
if [ -e "$build/lib/libeet_cuda.so" ]; then
    IFS=: read -r -a suites <<<"${EET_SUITES:-}"
    cp "$build/lib/libeet_cuda.so" "${suites[@]}" "$out/"
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    pack_bench
fi
for file in "$out"/gpu_check "$out"/races "$out"/test_*; do
    [ ! -e "$file" ] || strip "$file"
done

commit=$(git -C "$root" rev-parse --short=12 HEAD 2>/dev/null || echo unknown)
git -C "$root" diff --quiet HEAD 2>/dev/null || commit+=-dirty
echo "$commit" >"$out/commit"

bytes=$(du -sb "$out" | cut -f1)
if [ "$bytes" -gt "$limit" ]; then
    echo "$out has $bytes bytes, more than $limit" >&2
    exit 1
fi
echo "$out: $((bytes >> 20)) MiB, commit $commit"
