#!/usr/bin/env bash
# Makes the oracle: the real transformers over Debian's python3-torch, in a virtual environment.
#   tests/oracle/install.sh [DIR]      (default build/oracle; DIR/bin/python is the result)
# What is there already stays. Exits with 77, CTest's "skipped", where packages cannot be fetched.
set -euo pipefail
cd "$(dirname "$0")/../.."
dir=${1:-build/oracle}

# transformers 4.49.0 is the newest that runs on Debian's torch 1.13.
packages=(
    transformers==4.49.0 tokenizers==0.21.4 safetensors==0.8.0 huggingface-hub==0.36.2
    filelock==4.2.11 fsspec==2026.9.0 packaging==26.3 regex==2026.11.15 tqdm==4.70.1
)

mkdir -p "$(dirname "$dir")"
exec 9>"$dir.lock"
flock 9 # several tests of one run may come here at once

stamp="$dir/made-from"
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "${packages[*]}" ]; then
    exit 0
fi
if ! /usr/bin/python3 -c 'import torch, h5py, numpy, venv, ensurepip' 2>/dev/null; then
    echo "skipped: the oracle needs Debian's python3-torch, python3-h5py, python3-numpy and" \
        "python3-venv (.ci/install test)"
    exit 77
fi
rm -rf "$dir"
/usr/bin/python3 -m venv --system-site-packages "$dir"
if ! "$dir/bin/pip" install --disable-pip-version-check --no-input -q --no-deps --retries 1 \
    --timeout 20 "${packages[@]}" >"$dir/pip.log" 2>&1; then
    tail -n 3 "$dir/pip.log"
    echo "skipped: pip cannot fetch the oracle's packages (no registry?)"
    exit 77
fi
site=$("$dir/bin/python" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')
cp tests/oracle/dataclass_rule.py "$site/"
echo 'import dataclass_rule' >"$site/dataclass_rule.pth"
echo "${packages[*]}" >"$stamp"
