# lib.sh - what the tests of an installation share.
# shellcheck shell=bash

fail() {
    echo "$*" >&2
    exit 1
}

# A folder's whole content: kinds, modes, targets of links and sums.
listing() {
    (cd "$1" && find . -mindepth 1 -printf '%y %m %p %l\n' | sort &&
        find . -type f -print0 | sort -z | xargs -0 -r sha256sum)
}
