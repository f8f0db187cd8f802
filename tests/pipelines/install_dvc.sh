#!/usr/bin/env bash
# Makes build/dvc: DVC in a virtual environment of its own, with the versions of dvc.txt.
#   tests/pipelines/install_dvc.sh          (build/dvc/bin/dvc is the result)
# What is there already stays. Exits with 77, CTest's "skipped", where packages cannot be fetched.
set -euo pipefail
cd "$(dirname "$0")/../.."
dir=build/dvc
list=tests/pipelines/dvc.txt

mkdir -p build
exec 9>"$dir.lock"
flock 9 # several tests of one run may come here at once
if cmp -s "$list" "$dir/made-from"; then
    exit 0
fi
if ! /usr/bin/python3 -c 'import venv, ensurepip' 2>/dev/null; then
    echo "skipped: DVC needs Debian's python3-venv (.ci/install test)"
    exit 77
fi
rm -rf "$dir"
/usr/bin/python3 -m venv "$dir"
if ! "$dir/bin/pip" install --disable-pip-version-check --no-input -q --no-deps --retries 1 \
    --timeout 20 -r "$list" >"$dir/pip.log" 2>&1; then
    tail -n 3 "$dir/pip.log"
    echo "skipped: pip cannot fetch DVC (no registry?)"
    exit 77
fi
cp "$list" "$dir/made-from"
