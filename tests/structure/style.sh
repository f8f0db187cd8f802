#!/usr/bin/env bash
# style.sh - what a compiler does not say: a file begins with "/* name - what it is for" and has at
# most 500 lines (tables of converter/archs and of test cases are free), a function at most 60; no
# left-over markers.
source "$(dirname "$0")/lib.sh"

mapfile -t files < <(c_files format kernels engine converter tests)
looked_at "${#files[@]}"

for file in "${files[@]}"; do
    lines=$(wc -l <"$file")
    if [ "$lines" -gt 500 ] && [[ $file != converter/archs/* && $file != */cases*.h ]]; then
        found "$file: $lines lines, against 500"
    fi
    if [ "$(head -c $((${#file} + 8)) "$file" | head -n 1 | grep -cF "/* $(basename "$file") - ")" != 1 ] &&
        ! head -n 1 "$file" | grep -F "/* $(basename "$file") - " >/dev/null; then
        found "$file: does not begin with \"/* $(basename "$file") - \""
    fi
done

while read -r text; do
    found "$text"
done < <(grep -nHE '\b(TODO|FIXME|XXX|HACK|NOLINT)\b' "${files[@]}" || true)

# ctags gives the first and last line of functions; Check's tests stand between two macros.
while read -r text; do
    found "$text"
done < <(
    ctags -f - --languages=C --langmap=C:.c.h --kinds-C=f --fields=+ne "${files[@]}" |
        awk -F '\t' '{
            line = end = 0
            for (i = 4; i <= NF; ++i) {
                if ($i ~ /^line:/) line = substr($i, 6)
                if ($i ~ /^end:/) end = substr($i, 5)
            }
            if (end - line + 1 > 60)
                printf "%s:%d: %s has %d lines, against 60\n", $2, line, $1, end - line + 1
        }'
    awk '/^START_TEST/ { line = FNR; name = $0 }
         /^END_TEST/ && FNR - line > 60 {
             printf "%s:%d: %s has %d lines, against 60\n", FILENAME, line, name, FNR - line
         }' "${files[@]}"
)
finish "${#files[@]} files"
