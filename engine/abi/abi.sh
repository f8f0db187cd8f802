#!/usr/bin/env bash
# abi.sh write|check - the binary interface of libeet.so, kept in this folder.
#
#   write   makes libeet.abi (functions and what they take) and constants.abi (types and enumerators
#           of the headers alone) anew: with every release, and when eet.h or eet_ops.h gains
#           something
#   check   compares the sources with both. What eet.h's ABI rule allows passes: new functions, new
#           types, new fields at the end of structs that begin with `size`. Anything else fails.
#
# The library is compiled here with debugging information and without the kernels, which have no
# part in the interface; so a build's own flags play no role. EET_ROOT is another tree to look at.
set -euo pipefail
kept=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=${EET_ROOT:-$(cd "$kept/../.." && pwd)}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/headers"
cp "$root"/engine/{eet,eet_ops}.h "$root/format/eet_types.h" "$work/headers"

dump() { # library, options...: the interface on standard output
    abidw --no-corpus-path --no-comp-dir-path --no-show-locs --headers-dir "$work/headers" \
        --drop-private-types "${@:2}" "$1"
}

# Writes libeet.abi and constants.abi of $root into the folder $1.
describe() {
    local compile=(cc -shared -fPIC -g -O0 -std=c17 -fvisibility=hidden)
    (
        cd "$root"
        "${compile[@]}" -D_GNU_SOURCE '-DEET_VERSION=""' -I. -Iformat -Iengine \
            engine/*.c format/types.c format/error.c \
            -Wl,-soname,libeet.so.1 -Wl,--version-script=engine/libeet.map -o "$work/libeet.so"
    )
    printf '%s\n' '#include "eet.h"' '#include "eet_ops.h"' 'EET_API extern const int seed;' \
        'const int seed = 0;' \
        >"$work/constants.c" # one symbol, for abidw to begin at
    (
        cd "$work"
        "${compile[@]}" -fno-eliminate-unused-debug-types -Iheaders constants.c -o constants.so
    )
    dump "$work/libeet.so" --exported-interfaces-only >"$1/libeet.abi"
    dump "$work/constants.so" --load-all-types >"$1/constants.abi"
}

# Fields at the end of structs that begin with `size`. With this abidiff says nothing at all about
# those structs; layouts.py does.
allow() {
    awk '/^typedef struct [a-z_]+ \{/ { name = $3; next }
         name != "" { if ($0 ~ /^ *uint32_t size;/) print name; name = "" }' \
        "$root/engine/eet.h" "$root/engine/eet_ops.h" |
        while read -r name; do
            printf '[suppress_type]\n  type_kind = struct\n  name = %s\n  has_data_member_inserted_at = end\n' "$name"
        done
}

case ${1:-} in
write)
    describe "$kept"
    ;;
check)
    mkdir "$work/now"
    describe "$work/now"
    allow >"$work/allowed"
    status=0
    abidiff --harmless --no-added-syms --suppressions "$work/allowed" "$kept/libeet.abi" \
        "$work/now/libeet.abi" || status=1
    for file in libeet.abi constants.abi; do
        python3 "$kept/layouts.py" "$kept/$file" "$work/now/$file" || status=1
    done
    exit "$status"
    ;;
*)
    echo "usage: abi.sh write|check" >&2
    exit 2
    ;;
esac
