#!/usr/bin/env bash
# bench.sh BUILD [WHAT] - speed and memory of this machine against their bounds (`make bench`).
#   WHAT: ops | decode | convert; all of them without it
# Files go to EET_BENCH_FILES (default BUILD/bench-files: about 5 GB, removed at the end).
set -euo pipefail
build=$(cd "${1:?usage: bench.sh BUILD [ops|decode|convert]}" && pwd)
what=${2:-all}
here=$(cd "$(dirname "$0")" && pwd)
files=${EET_BENCH_FILES:-$build/bench-files}
mkdir -p "$files"
trap 'rm -rf "$files"' EXIT

section() {
    echo
    echo "== $*"
}

machine() {
    echo "$(date -u +%Y-%m-%d), $(nproc) CPUs: $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)"
    echo "load $(cut -d ' ' -f 1-3 /proc/loadavg), $(uname -sr), $(cc --version | head -n 1)"
    "$build/bench/bench_bandwidth"
}

decode() {
    local dtype
    for dtype in f32 bf16 f16; do
        section "GPT-2, 124 million random weights, $dtype"
        "$build/bench/bench_model" "$files/gpt2.eet" "$dtype"
        "$build/bench/bench_decode" "$files/gpt2.eet"
        rm -f "$files/gpt2.eet"
    done
}

# Seconds and peak memory (KiB) of a command, the fastest of three: "1.23 45678".
fastest() {
    for _ in 1 2 3; do
        "$reset"
        /usr/bin/time -f '%e %M' -o "$files/time" "$@" >"$files/log" 2>&1 || {
            cat "$files/log" >&2
            exit 1
        }
        cat "$files/time"
    done | sort -g | head -n 1
}

remove_outputs() {
    rm -f "$files/copy" "$files/out.eet"
    sync "$files"
}

# The promise is about data that is the process' own (RLIMIT_DATA), so it runs under that limit;
# what time calls the peak counts the pages of mapped files too.
convert_one() { # --dtype
    local took memory bytes
    read -r took memory < <(
        ulimit -d $((bound / 1024))
        fastest "$build/bin/eet-convert" "$files/gpt2" --dtype "$1" -q -o "$files/out.eet"
    )
    bytes=$(stat -c %s "$files/gpt2/model.safetensors")
    awk -v t="$took" -v m="$memory" -v c="$copy" -v b="$bytes" -v d="$1" -v l="$bound" 'BEGIN {
        printf "eet-convert --dtype %-4s  %.2f s, %.0f MB/s read: %.0f %% of the speed of the copy\n", d,
            t, b / t / 1e6, 100 * c / t
        printf "    under RLIMIT_DATA %.0f MiB (2 x largest tensor + 64 MiB); resident with mapped " \
            "files %.0f MiB\n", l / 1048576, m / 1024 }'
}

convert() {
    local copy bytes
    local bound=$((2 * 50257 * 1024 * 4 + (64 << 20))) # the largest tensor: the table of tokens
    section "eet-convert: GPT-2 medium, f32, safetensors"
    python3 "$here/make_checkpoint.py" "$files/gpt2"
    sync "$files"
    cat "$files/gpt2/model.safetensors" >/dev/null # warm
    reset=remove_outputs
    # shellcheck disable=SC2016
    read -r copy _ < <(fastest sh -c 'cp "$1" "$2" && sync "$2"' sh \
        "$files/gpt2/model.safetensors" "$files/copy")
    bytes=$(stat -c %s "$files/gpt2/model.safetensors")
    awk -v t="$copy" -v b="$bytes" 'BEGIN {
        printf "cp and sync of %.2f GB      %.2f s, %.0f MB/s\n", b / 1e9, t, b / t / 1e6 }'
    convert_one keep
    convert_one bf16
}

section "Machine"
machine
if [ "$what" = all ] || [ "$what" = ops ]; then
    section "Ops: the fastest of several calls; flops and compulsory bytes by the cost functions"
    "$build/bench/bench_ops"
fi
if [ "$what" = all ] || [ "$what" = decode ]; then
    decode
fi
if [ "$what" = all ] || [ "$what" = convert ]; then
    convert
fi
