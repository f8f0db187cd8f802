#!/usr/bin/env bash
# types.sh - mypy --strict has nothing to say about the package. The mypy is PATH's, Debian's; where
# there is none the test is skipped.
set -euo pipefail
mypy=${MYPY:-$(command -v mypy || true)}
if [ -z "$mypy" ]; then
    echo "there is no mypy"
    exit 77
fi
cache=$(mktemp -d)
trap 'rm -rf "$cache"' EXIT
"$mypy" --config-file python_shim/mypy.ini --cache-dir "$cache" python_shim/eet
