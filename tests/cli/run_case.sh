#!/usr/bin/env bash
# run_case.sh NAME - runs tests/cli/cases/NAME.sh in an empty folder and compares what it prints
# and how it ends with NAME.stdout, NAME.stderr (absent: nothing) and NAME.exit (absent: 0).
# EET_BLESS=1 writes these files instead. The folder holds copies of the golden files.
set -euo pipefail
name=$1
cases=$PWD/tests/cli/cases
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cp fixtures/eet/golden-1.0.eet "$folder/good.eet"
cp fixtures/eet/golden-encdec-1.0.eet "$folder/encdec.eet"
cp fixtures/eet/nan.eet "$folder/nan.eet"
mkdir "$folder/.result"

# patch FILE OFFSET HEX - changes a byte of a file; for the cases.
# shellcheck disable=SC2317
patch() {
    printf '%b' "\\x$3" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}
export -f patch
unset NO_COLOR EET_NO_PROGRESS
export LC_ALL=C.UTF-8 TERM=xterm PATH=$EET_BIN:$PATH

code=0
(cd "$folder" && bash "$cases/$name.sh" >.result/stdout 2>.result/stderr </dev/null) || code=$?
echo "$code" >"$folder/.result/exit"

failed=0
for what in stdout stderr exit; do
    kept=$cases/$name.$what
    if [ -n "${EET_BLESS:-}" ]; then
        cp "$folder/.result/$what" "$kept"
        { [ "$(cat "$kept")" = 0 ] || [ ! -s "$kept" ]; } && rm "$kept"
        continue
    fi
    if [ ! -e "$kept" ]; then
        kept=$folder/.result/absent
        if [ "$what" = exit ]; then echo 0; fi >"$kept"
    fi
    diff -u --label "expected $what" --label "$what" "$kept" "$folder/.result/$what" || failed=1
done
exit "$failed"
