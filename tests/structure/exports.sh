#!/usr/bin/env bash
# exports.sh LIBEET - libeet.so exports the EET_API functions of engine/eet.h and eet_ops.h and
# nothing else, under one version; it needs libc, libm, libpthread and libdl at most.
library=$(readlink -f "$1")
source "$(dirname "$0")/lib.sh"

promised=$(sed 's|/\*.*\*/||' engine/eet.h engine/eet_ops.h | tr '\n' ' ' |
    grep -oE 'EET_API [^;(]*\(' | sed -E 's/ *\($//; s/.*[ *]//' | sort)
exported=$(nm -D --defined-only "$library" | awk '$2 != "A" { sub("@.*", "", $3); print $3 }' | sort)
looked_at "$(wc -w <<<"$promised")"

while read -r name; do
    found "$name is declared EET_API and not exported"
done < <(comm -23 <(echo "$promised") <(echo "$exported"))
while read -r name; do
    found "$name is exported and not in engine/eet.h"
done < <(comm -13 <(echo "$promised") <(echo "$exported"))
while read -r name; do
    found "$name has no version"
done < <(nm -D --defined-only "$library" | awk '$2 != "A" && $3 !~ /@@EET_/ { print $3 }')

major=$(sed -n 's/^#define EET_ABI_MAJOR //p' engine/eet.h)
soname=$(readelf -dW "$library" | sed -n 's/.*(SONAME).*\[\(.*\)\]/\1/p')
if [ "$soname" != "libeet.so.$major" ]; then
    found "the SONAME is '$soname', against libeet.so.$major"
fi

while read -r needed; do
    case $needed in
    libc.so.* | libm.so.* | libpthread.so.* | libdl.so.* | ld-linux*) ;;
    *) found "libeet.so needs $needed" ;;
    esac
done < <(readelf -dW "$library" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p')
finish "$(wc -w <<<"$promised") functions of ${library##*/}"
