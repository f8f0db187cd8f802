# lib.sh - what the structure checks share: the tree they look at, and their findings.
# shellcheck shell=bash

set -euo pipefail
root=${EET_ROOT:-$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)}
cd "$root"
findings=0

# The C and CUDA files under the given folders (those that exist), one a line.
c_files() {
    local folder
    for folder in "$@"; do
        if [ -d "$folder" ]; then
            find "$folder" \( -name '*.[ch]' -o -name '*.cu' -o -name '*.cuh' \) -type f
        fi
    done | sort
}

found() {
    echo "$*"
    findings=$((findings + 1))
}

# Ends the check: $1 is what was looked at ("31 headers").
finish() {
    if [ "$findings" -gt 0 ]; then
        echo "$findings finding(s) in $1"
        exit 1
    fi
    echo "$1: fine"
}

# A check that looked at nothing has shown nothing.
looked_at() {
    if [ "$1" -eq 0 ]; then
        echo "nothing to look at in $root"
        exit 1
    fi
}
