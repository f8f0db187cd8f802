#!/usr/bin/env bash
# writable.sh OBJECT|ARCHIVE... - library code has no writable data: nothing in .data, .bss, .tdata
# or .tbss. (.data.rel.ro holds constant tables of pointers: read-only once loaded.)
source "$(dirname "$0")/lib.sh"

looked_at $#
while read -r member section bytes; do
    found "$member: $bytes bytes in $section"
done < <(size -A "$@" | awk '
    / :$|  :|:$/ { member = $1 }
    $1 ~ /^\.(data|bss|tdata|tbss)/ && $1 !~ /^\.data\.rel\.ro/ && $2 > 0 { print member, $1, $2 }')
if nm "$@" 2>/dev/null | grep -E '^[0-9a-f]+ C ' ; then
    found "common symbols"
fi
finish "$# archives"
