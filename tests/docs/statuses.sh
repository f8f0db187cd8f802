#!/usr/bin/env bash
# statuses.sh - docs/errors.md has every status with its number and exit code, and no other.
source tests/structure/lib.sh

# shellcheck disable=SC2016 # the backquotes are the table's
shown() { # status number exit, as the page has them
    sed -n 's/^| `\(EET_[A-Z_]*\)` | \([0-9]*\) | \([0-9]*\) |.*/\1 \2 \3/p' docs/errors.md
}
real() { # as format/eet_types.h has them
    sed -n 's/^ *X(\(EET_[A-Z_]*\), \([0-9]*\), \([0-9]*\)).*/\1 \2 \3/p' format/eet_types.h
}

count=$(real | wc -l)
looked_at "$count"
while read -r line; do
    found "$line"
done < <(diff <(shown) <(real) | grep '^[<>]')
finish "$count statuses"
