#!/usr/bin/env bash
# golden.sh MAKE_GOLDEN - the writer of today gives the golden files byte for byte.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$1" "$folder"
count=0
for made in "$folder"/*.eet; do
    cmp "$made" "fixtures/eet/${made##*/}"
    count=$((count + 1))
done
[ "$count" = "$(find fixtures/eet -name '*.eet' | wc -l)" ]
echo "$count golden files are what the writer writes"
