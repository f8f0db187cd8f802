#!/usr/bin/env bash
# symbols.sh LIBEET.a ARCHIVE... - libeet.a shows the functions of eet.h and no other name: a program
# that has names of its own like those inside (the ARCHIVEs are what it was made of) links with it.
set -euo pipefail
static=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# shellcheck source=tests/install/lib.sh
source "$PWD/tests/install/lib.sh"

globals() { nm -g --defined-only "$@" 2>/dev/null | awk 'NF == 3 { print $3 }' | sort -u; }

sed -n 's/^  \(eet_[a-z_]*\);$/\1/p' engine/libeet.map | sort >"$work/public"
[ -s "$work/public" ] || fail "libeet.map lists no function"
globals "$static" | diff "$work/public" - ||
    fail "what libeet.a shows (>) is not what libeet.map lists (<)"

globals "${@:2}" | comm -23 - "$work/public" >"$work/private"
[ "$(wc -l <"$work/private")" -gt 50 ] || fail "the archives have almost no names"
{
    sed 's/.*/int &;/' "$work/private"
    echo 'unsigned eet_abi(void);'
    echo 'int main(void) { return eet_abi() >> 16 == 0; }'
} >"$work/clash.c"
cc -fno-builtin -w "$work/clash.c" "$static" -lm -lpthread -ldl -o "$work/clash" ||
    fail "a program with names like our inner ones does not link"
"$work/clash" || fail "it does not run"
echo "$(wc -l <"$work/public") public names, $(wc -l <"$work/private") private ones"
