#!/usr/bin/env bash
# Runs the demo and looks at what it prints.
#   tests/demo/check.sh BIN [offline]      (offline: as on a machine without a package registry)
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export EET_DEMO_FILES=$work/files
if [ "${2:-}" = offline ]; then
    export EET_CACHE=$work/cache PIP_NO_INDEX=1 PIP_CONFIG_FILE=/dev/null
fi
if ! bash tests/demo/demo.sh "$1" >"$work/said" 2>&1; then
    cat "$work/said"
    exit 1
fi
cat "$work/said"

fail() {
    echo "demo: $*"
    exit 1
}

if [ "$(wc -l <"$work/said")" -ge 60 ]; then
    fail "prints $(wc -l <"$work/said") lines; a screen has fewer than 60"
fi
if ! grep -qxF "20,25,30,35,40,45,50,55,60,65,70,75,80,85,90,95,100" "$work/said" ||
    ! grep -qxF "67,70,73,76,79,82,85,88,91,94,97,100" "$work/said"; then
    fail "the GPT-2 that learnt to count does not"
fi

# Line N of the table: number, sentence, cosines with sentences 1 .. N.
cosine() {
    awk -v row="$1" -v column="$2" \
        '$1 == row && /\.[0-9][0-9][0-9]$/ { print $(NF - row + column) }' "$work/said"
}
for row in 1 2 3 4 5; do
    if [ "$(cosine "$row" "$row")" != 1.000 ]; then
        fail "the cosine of sentence $row with itself is '$(cosine "$row" "$row")'"
    fi
done
if grep -q "stands in for" "$work/said"; then
    echo "demo: no registry, so what the sentences mean is not checked"
    exit 0
fi
if [ "${2:-}" = offline ]; then
    fail "has fetched a model where there is no registry"
fi
# 1, 2: music; 3, 4: markets; 5: a cat.
awk -v music="$(cosine 2 1)" -v markets="$(cosine 4 3)" -v other="$(cosine 3 1)" \
    -v cat="$(cosine 5 2)" \
    'BEGIN { exit !(music > 0.5 && markets > 0.5 && other < 0.2 && cat < 0.2) }' ||
    fail "like sentences are not nearer than unlike ones"
