#!/usr/bin/env bash
# fuzz.sh BUILD [TARGET [SECONDS]] - runs one libFuzzer target from its corpus; new inputs and
# findings stay below BUILD/corpus. Without TARGET: the names.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
build=$(readlink -f "$1") target=${2:-} seconds=${3:-60}

if [ -z "$target" ]; then
    echo "make fuzz TARGET=name TIME=seconds, one of:"
    find "$here" -name 'fuzz_*.c' -printf '  %f\n' | sed 's/fuzz_//; s/\.c$//' | sort
    exit 0
fi
program=$build/bin/fuzz_$target
if [ ! -x "$program" ]; then
    echo "there is no target $target" >&2
    exit 2
fi
mkdir -p "$build/corpus/$target"
cd "$build/corpus"
dictionary=()
if [ -f "$here/$target.dict" ]; then
    dictionary=(-dict="$here/$target.dict")
fi
seeds=() patience=10
case $target in
container) more=eet ;;
source) more=torch-2.11 ;;
h5) more=keras patience=60 ;; # a file may take 5 seconds of the processor, and is refused then
*) more= ;;
esac
for folder in "$here/corpus/$target" ${more:+"$here/../../fixtures/$more"}; do
    if [ -d "$folder" ]; then
        seeds+=("$folder")
    fi
done
exec "$program" -max_total_time="$seconds" -rss_limit_mb=4096 -timeout=$patience -print_final_stats=1 \
    "${dictionary[@]}" "$target" "${seeds[@]}"
