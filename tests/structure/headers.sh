#!/usr/bin/env bash
# headers.sh - every header compiles alone: the public ones as C and C++, beside each other and
# nothing else, the private ones as C.
source "$(dirname "$0")/lib.sh"

strict=(-fsyntax-only -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror)
public=(format/eet_types.h engine/eet.h engine/eet_ops.h)
installed=$(mktemp -d)
trap 'rm -rf "$installed"' EXIT
count=0

for header in "${public[@]}"; do
    cp "$header" "$installed"
done
for header in "${public[@]##*/}"; do
    count=$((count + 1))
    for language in "cc -x c -std=c11" "cc -x c -std=c17" "c++ -x c++ -std=c++11" \
        "c++ -x c++ -std=c++20"; do
        # shellcheck disable=SC2086
        echo "#include <$header>" | $language "${strict[@]}" -I"$installed" - ||
            found "$header does not compile alone: $language"
    done
done

toolkit=/usr/local/cuda/include
while read -r header; do
    if [[ $header == kernels/cuda/* && ! -e $toolkit/cuda_runtime_api.h ]]; then
        continue # the build of the backend itself is where there is one
    fi
    count=$((count + 1))
    echo "#include \"$header\"" |
        cc -x c -std=c17 "${strict[@]}" -Wstrict-prototypes -Wmissing-prototypes -D_GNU_SOURCE \
            -I. -Iformat -Iengine -isystem "$toolkit" - ||
        found "$header does not compile alone"
done < <(c_files format kernels engine converter tests/support | grep '\.h$')

looked_at "$count"
finish "$count headers"
