#!/usr/bin/env bash
# versions.sh - every Python that the package is for and that is here (3.9 to 3.13, of pyenv or the PATH)
# imports it and runs what needs nothing but Python; skipped where there is none.
set -euo pipefail
ran=''
absent=''
for minor in 9 10 11 12 13; do
    found=''
    for python in "$HOME/.pyenv/versions/3.$minor".*/bin/python3 "$(command -v "python3.$minor")"; do
        if [ -x "$python" ] && "$python" -c 'import ctypes' 2>/dev/null; then
            if ! said=$("$python" python_shim/tests/run.py test_plain test_import 2>&1); then
                printf 'Python 3.%s:\n%s\n' "$minor" "$said"
                exit 1
            fi
            ran+=" 3.$minor" found=1
            break
        fi
    done
    [ -n "$found" ] || absent+=" 3.$minor"
done
echo "ran:${ran:- none}; not here:${absent:- none}"
[ -n "$ran" ] || exit 77
