#!/usr/bin/env bash
# links.sh FOLDER - of the commands in FOLDER eet-convert alone links HDF5 and libzip.
source "$(dirname "$0")/lib.sh"

commands=("$1"/eet-*)
looked_at "${#commands[@]}"
for command in "${commands[@]}"; do
    [ "$(basename "$command")" = eet-convert ] && continue
    if readelf -d "$command" | grep -E 'NEEDED.*lib(hdf5|zip|curl)'; then
        found "$command links what only eet-convert may"
    fi
done
if readelf -d "$1/eet-convert" | grep -E 'R(UN)?PATH.*(:\]|\[:|::)'; then
    found "eet-convert would look for libraries in the folder it is called from"
fi
finish "${#commands[@]} commands"
