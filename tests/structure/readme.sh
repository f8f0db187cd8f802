#!/usr/bin/env bash
# readme.sh LIBDIR BINDIR - README.md is true: its C program compiles with the command it gives and
# runs on a converted fixture, the make targets and commands it names exist, and its map of folders
# is the tree.
lib=$(readlink -f "$1") bin=$(readlink -f "$2")
source "$(dirname "$0")/lib.sh"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
count=0

# shellcheck disable=SC2013 # a target has no spaces
for target in $(grep -ohE '\bmake [a-z][a-z-]+' README.md CONTRIBUTING.md docs/*.md | awk '{ print $2 }' |
    sort -u); do
    count=$((count + 1))
    grep -qE "^$target:" Makefile || found "make $target is documented; Makefile has no such target"
done
# shellcheck disable=SC2013 # nor has a command
for command in $(grep -ohE '\beet-(convert|inspect|verify|diff|run|encode|bench)\b' README.md | sort -u); do
    count=$((count + 1))
    [ -x "$bin/$command" ] || found "README.md names $command, which is not built"
done

while read -r path; do
    count=$((count + 1))
    [ -e "$path" ] || found "README.md maps or links $path, which is not there"
done < <(
    # shellcheck disable=SC2016 # the backquotes are the table's
    sed -n 's/^| `\([a-z_]*\/\)`.*/\1/p' README.md
    grep -ohE '\]\([a-zA-Z0-9_/.-]+\)' README.md | tr -d '])('
)
for folder in */; do
    [ "$folder" = build/ ] || grep -qF "| \`$folder\`" README.md ||
        found "$folder is not in README.md's map of folders"
done

awk '/^```c$/ { inside = 1; next } /^```$/ { inside = 0 } inside' README.md >"$work/hello.c"
lines=$(wc -l <"$work/hello.c")
if [ "$lines" -lt 10 ] || [ "$lines" -gt 40 ]; then
    found "README.md's program has $lines lines"
fi
if ! cc -std=c17 -Wall -Wextra -Wpedantic -Werror -Iengine -Iformat "$work/hello.c" -L"$lib" -leet \
    -Wl,-rpath,"$lib" -o "$work/hello"; then
    found "README.md's program does not compile"
elif ! "$bin/eet-convert" fixtures/checkpoints/gpt2_tiny -o "$work/gpt2.eet" >"$work/convert.txt" 2>&1; then
    found "the fixture does not convert: $(cat "$work/convert.txt")"
elif ! "$work/hello" "$work/gpt2.eet" >"$work/out.txt" 2>&1; then
    found "README.md's program fails: $(cat "$work/out.txt")"
elif ! grep -qE '^[0-9]+( [0-9]+)*$' "$work/out.txt"; then
    found "README.md's program prints no ids: $(cat "$work/out.txt")"
elif "$work/hello" "$work/missing.eet" >"$work/out.txt" 2>&1 || ! grep -q missing.eet "$work/out.txt"; then
    found "README.md's program does not say that its file is missing: $(cat "$work/out.txt")"
fi
finish "$count names and the program"
