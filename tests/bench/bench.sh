#!/usr/bin/env bash
# bench.sh BUILD [WHAT] - speed and memory of this machine against their bounds (`make bench`).
#   WHAT: ops | models | peers | convert | python; all of them without it
# Files go to EET_BENCH_FILES (default BUILD/bench-files: about 5 GB, removed at the end).
set -euo pipefail
build=$(cd "${1:?usage: bench.sh BUILD [ops|models|peers|convert|python]}" && pwd)
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
}

models() {
    section "Models of random weights"
    "$build/bin/eet-bench" --random gpt2 --dtype f32,bf16,f16 -p 512 -n 256 -d 0,512 --check
    "$build/bin/eet-bench" --random bert-base -p 128,384 -b 1,8 --check
}

# onnxruntime and CTranslate2 in an environment of their own, which stays.
peers() {
    local venv=$build/bench-peers
    section "The same weights in onnxruntime and CTranslate2"
    if ! [ -e "$venv/made" ]; then
        rm -rf "$venv"
        if ! { /usr/bin/python3 -m venv "$venv" &&
            "$venv/bin/pip" install --disable-pip-version-check --no-input -q --retries 1 --timeout 20 \
                onnxruntime==1.32.0 ctranslate2==4.8.5 onnx==1.23.2 && touch "$venv/made"; } \
            >"$files/pip.log" 2>&1; then
            tail -n 3 "$files/pip.log"
            echo "skipped: pip cannot fetch onnxruntime and ctranslate2 (no registry?); nothing is compared"
            return
        fi
    fi
    "$venv/bin/python" "$here/peers.py" "$build/bin" "$files/peers"
    rm -rf "$files/peers"
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
convert_one() { # FILE --dtype
    local took memory bytes
    read -r took memory < <(
        ulimit -d $((bound / 1024))
        fastest "$build/bin/eet-convert" "$files/gpt2/$1" --config "$files/gpt2/config.json" --dtype "$2" \
            -q -o "$files/out.eet"
    )
    bytes=$(stat -c %s "$files/gpt2/$1")
    awk -v t="$took" -v m="$memory" -v c="$copy" -v b="$bytes" -v f="$1" -v d="$2" -v l="$bound" 'BEGIN {
        printf "%-18s --dtype %-4s  %.2f s, %.0f MB/s read: %.0f %% of the speed of the copy\n", f, d,
            t, b / t / 1e6, 100 * c / t
        printf "    under RLIMIT_DATA %.0f MiB (2 x largest tensor + 64 MiB); resident with mapped " \
            "files %.0f MiB\n", l / 1048576, m / 1024 }'
}

copy_one() { # FILE
    # shellcheck disable=SC2016
    read -r copy _ < <(fastest sh -c 'cp "$1" "$2" && sync "$2"' sh "$files/gpt2/$1" "$files/copy")
    awk -v t="$copy" -v b="$(stat -c %s "$files/gpt2/$1")" -v f="$1" 'BEGIN {
        printf "%-18s cp and sync of %.2f GB  %.2f s, %.0f MB/s\n", f, b / 1e9, t, b / t / 1e6 }'
}

convert() {
    local copy file
    local bound=$((2 * 50257 * 1024 * 4 + (64 << 20))) # the largest tensor: the table of tokens
    section "eet-convert: GPT-2 medium, f32, in each container"
    python3 "$here/make_checkpoint.py" "$files/gpt2"
    /usr/bin/python3 "$here/make_containers.py" "$files/gpt2"
    reset=remove_outputs
    for file in model.safetensors pytorch_model.bin legacy.bin tf_model.h5; do
        sync "$files"
        cat "$files/gpt2/$file" >/dev/null # warm
        copy_one "$file"
        convert_one "$file" keep
        [ "$file" != model.safetensors ] || convert_one "$file" bf16
        rm -f "$files/gpt2/$file"
    done
}

section "Machine"
machine
if [ "$what" = all ] || [ "$what" = ops ]; then
    section "Ops: the fastest of several calls; flops and compulsory bytes by the cost functions"
    "$build/bench/bench_ops"
fi
if [ "$what" = all ] || [ "$what" = models ]; then
    models
fi
if [ "$what" = all ] || [ "$what" = peers ]; then
    peers
fi
if [ "$what" = all ] || [ "$what" = convert ]; then
    convert
fi
if [ "$what" = all ] || [ "$what" = python ]; then
    section "What Python adds to a call, on the smallest model"
    /usr/bin/python3 "$here/python_overhead.py" "$build" "$files"
fi
