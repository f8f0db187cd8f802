#!/usr/bin/env bash
# tables.sh OBJECT... - model families are rows: the objects of converter/archs hold data and no code.
source "$(dirname "$0")/lib.sh"

looked_at $#
for object in "$@"; do
    while read -r name; do
        found "${object##*/}: $name is code"
    done < <(nm --defined-only "$object" | awk '$2 ~ /[TtWwi]/ { print $3 }')
done
finish "$# objects"
