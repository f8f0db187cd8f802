#!/usr/bin/env bash
# aarch64.sh - what goes into libeet.so compiles for aarch64 with the plain-C ops: intrinsics stay in
# the files of their instruction set.
source "$(dirname "$0")/lib.sh"

compiler=aarch64-linux-gnu-gcc
if ! command -v "$compiler" >/dev/null; then
    echo "skipped: $compiler is not installed"
    exit 77
fi
# The files of a library, from its CMakeLists.txt.
sources() { # folder, target
    sed -n "/add_library($2 STATIC/,/)/p" "$1/CMakeLists.txt" | grep -oE '[a-z0-9_]+\.c' |
        sed "s|^|$1/|"
}
mapfile -t files < <(
    sources format eet_types
    sources format eet_format
    sources kernels eet_kernels
    echo kernels/cpu_other.c
    sources engine eet_engine
)
looked_at "${#files[@]}"
for file in "${files[@]}"; do
    "$compiler" -std=c17 -O1 -fsyntax-only -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wvla \
        -Wstrict-prototypes -Wmissing-prototypes -Werror -D_GNU_SOURCE -DEET_INTERFACE='"0"' -DEET_VERSION='"0"' \
        -I. -Iformat -Iengine "$file" || found "$file does not compile for aarch64"
done
finish "${#files[@]} files"
