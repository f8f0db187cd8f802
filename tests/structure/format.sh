#!/usr/bin/env bash
# format.sh [--write] - every C file is as .clang-format says, by clang-format 14 (Debian 12's:
# other versions break lines elsewhere).
source "$(dirname "$0")/lib.sh"

tool=
for candidate in clang-format-14 clang-format; do
    if command -v "$candidate" >/dev/null && "$candidate" --version | grep 'version 14\.' >/dev/null; then
        tool=$candidate
        break
    fi
done
if [ -z "$tool" ]; then
    echo "skipped: clang-format 14 is not installed"
    exit 77
fi

mapfile -t files < <(c_files format kernels engine converter tests)
looked_at "${#files[@]}"
if [ "${1:-}" = --write ]; then
    "$tool" -i "${files[@]}"
    exit 0
fi
while read -r line; do
    found "$line"
done < <("$tool" --dry-run "${files[@]}" 2>&1 | grep -E 'warning:|error:' || true)
finish "${#files[@]} files (make format writes them)"
