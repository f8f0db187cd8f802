#!/usr/bin/env bash
# abi_bites.sh - engine/abi/abi.sh lets pass what eet.h's ABI rule allows, and nothing else. Each
# case is a small tree with a change.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# shellcheck source=tests/install/lib.sh
source "$PWD/tests/install/lib.sh"
mkdir "$work/kept"
cp engine/abi/abi.sh engine/abi/layouts.py "$work/kept"

# A fresh tree; sed's script goes over the files.
change() { # script, file...
    local file
    rm -rf "$work/tree"
    mkdir -p "$work/tree"/{engine,format,kernels}
    cp engine/*.[ch] engine/libeet.map "$work/tree/engine"
    cp format/*.[ch] "$work/tree/format"
    cp kernels/*.h "$work/tree/kernels"
    for file in "${@:2}"; do
        sed -i -E "$1" "$work/tree/$file"
        ! cmp -s "$file" "$work/tree/$file" || fail "'$1' changes nothing in $file"
    done
}

passes() {
    change "${@:2}"
    EET_ROOT=$work/tree "$work/kept/abi.sh" check >"$work/out" 2>&1 ||
        fail "$1 is not accepted: $(cat "$work/out")"
}

bites() { # what it is, what must be said, change...
    change "${@:3}"
    ! EET_ROOT=$work/tree "$work/kept/abi.sh" check >"$work/out" 2>&1 || fail "$1 is accepted"
    grep -qF -- "$2" "$work/out" || fail "$1: '$2' is not in: $(cat "$work/out")"
}

change ''
EET_ROOT=$work/tree "$work/kept/abi.sh" write

passes "a field at the end, a function, a type and an enumeration" '
    s/^\} eet_model_options;/    int32_t more;\n&/
    s/^EET_API const char \*eet_version.*/&\nEET_API int32_t eet_more(void);/
    s/^  eet_abi;/&\n  eet_more;/
    s/^enum \{ EET_HIDDEN.*/&\nenum { EET_MORE = 3 };\ntypedef struct eet_new { int32_t a; } eet_new;/
    s/^uint32_t eet_abi\(void\).*/int32_t eet_more(void) { return 1; }\n&/' \
    engine/eet.h engine/libeet.map "$(grep -l '^uint32_t eet_abi(void)' engine/*.c)"
bites "a field in the middle" "struct eet_model_options" \
    's/^    int32_t device_index;/    int32_t more;\n&/' engine/eet.h
bites "another type, beside a field at the end" "struct eet_model_options" \
    's/^    int32_t device_index;/    uint32_t device_index;/; s/^\} eet_model_options;/    int32_t more;\n&/' \
    engine/eet.h
bites "a field at the end of a struct without size" "struct eet_event" \
    's/^\} eet_event;/    int32_t more[2];\n&/' engine/eet.h
bites "another number" "the enumeration of EET_FINISH_NONE" \
    's/EET_FINISH_CANCELLED = 4/EET_FINISH_CANCELLED = 5/' engine/eet.h
bites "a function that is gone" "eet_source_set" 's/^  eet_source_set;//' engine/libeet.map
bites "another parameter" "eet_sequence_trim" \
    's/int32_t id, int32_t length,/int32_t id, int64_t length,/' \
    engine/eet.h "$(grep -l '^eet_status eet_sequence_trim(' engine/*.c)"
echo "7 changes are told apart"
