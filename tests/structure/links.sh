#!/usr/bin/env bash
# links.sh FOLDER - of the commands in FOLDER those that read checkpoints, eet-convert and
# eet-verify (--against), alone link HDF5 and libzip.
source "$(dirname "$0")/lib.sh"

commands=("$1"/eet-*)
looked_at "${#commands[@]}"
for command in "${commands[@]}"; do
    case $(basename "$command") in eet-convert | eet-verify) continue ;; esac
    if readelf -d "$command" | grep -E 'NEEDED.*lib(hdf5|zip|curl)'; then
        found "$command links what only those that read checkpoints may"
    fi
done
for command in eet-convert eet-verify; do
    if readelf -d "$1/$command" | grep -E 'R(UN)?PATH.*(:\]|\[:|::)'; then
        found "$command would look for libraries in the folder it is called from"
    fi
done
finish "${#commands[@]} commands"
