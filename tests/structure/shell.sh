#!/usr/bin/env bash
# shell.sh - every shell script passes shellcheck, and no end of a pipe goes before the others have
# written: with pipefail that is a failure, now and then.
source "$(dirname "$0")/lib.sh"

if ! command -v shellcheck >/dev/null; then
    echo "skipped: shellcheck is not installed"
    exit 77
fi
mapfile -t files < <(
    find tests fixtures -name '*.sh' -type f
    find .ci -type f
    find cmake engine -name '*.sh' -type f
)
looked_at "${#files[@]}"
# SC1091: lib.sh is found from where the script is. SC2086, SC2046: word lists are split on purpose.
shellcheck --exclude=SC1091,SC2086,SC2046 "${files[@]}" || found "see above"
while IFS= read -r line; do
    found "$line: grep -q ends before what it reads has been written; use grep ... >/dev/null"
done < <(grep -HnE '[^|]\| *grep (-[a-zA-Z]+ )*-[a-zA-Z]*q' "${files[@]}")
finish "${#files[@]} scripts"
