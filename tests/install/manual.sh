#!/usr/bin/env bash
# manual.sh BUILD - the pages of the manual pass mandoc, groff and man without a warning, name every
# option that --help does, and carry the date they are told to.
set -euo pipefail
build=$1
# shellcheck source=tests/install/lib.sh
source "$PWD/tests/install/lib.sh"
export LC_ALL=C.UTF-8
count=0

check_page() {
    local said
    said=$(mandoc -Tlint -Wwarning "$1" 2>&1) || fail "mandoc: $said"
    said=$(groff -man -ww -Tutf8 -z "$1" 2>&1) || fail "groff cannot read $1"
    [ -z "$said" ] || fail "groff: $1: $said"
    said=$(MANROFFOPT=-ww man --warnings -l "$1" 2>&1 >/dev/null) || fail "man cannot read $1"
    [ -z "$said" ] || fail "man: $1: $said"
    count=$((count + 1))
}

for page in "$build"/share/*.[1-8]; do
    check_page "$page"
done
for command in "$EET_BIN"/eet-*; do
    name=${command##*/}
    page=$build/share/$name.1
    [ -s "$page" ] || fail "$name has no manual page"
    text=$(man -l "$page" | col -b)
    while read -r option; do
        grep -qE -- "(^|[ ,])$option([][ =]|\$)" <<<"$text" || fail "$page has no $option"
    done < <("$command" --help | sed '/^Examples:/,$d' | grep -oE -- '--[a-z][a-z0-9-]+' | sort -u)
    SOURCE_DATE_EPOCH=86400 "$command" --help=man | grep '^\.TH .* 1 1970-01-02 ' >/dev/null ||
        fail "$name does not heed SOURCE_DATE_EPOCH"
    ! "$command" --help=html >/dev/null 2>&1 || fail "$name knows --help=html"
    grep -qF ".BR ${name//-/\\-} (1)" "$build/share/eet.5" ||
        fail "eet(5) does not point to $name"
done
echo "$count pages"
[ "$count" -ge 5 ]
