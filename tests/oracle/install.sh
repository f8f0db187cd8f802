#!/usr/bin/env bash
# Makes the oracle: the real transformers over Debian's python3-torch, in a virtual environment.
#   tests/oracle/install.sh [DIR [fairseq]]   (default build/oracle; DIR/bin/python is the result)
# With "fairseq" the real Fairseq 0.12.2 is in it too (30 s more, no compiler).
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

# Fairseq 0.12.2 is a source archive; READTHEDOCS leaves its extensions out. Its torch version of
# Debian's ("1.13.0a0") ends in what it takes for a number.
fairseq_packages=(
    hydra-core==1.0.7 omegaconf==2.0.6 antlr4-python3-runtime==4.8 bitarray==3.12.3
    sacrebleu==2.3.1 portalocker==4.4.2 colorama==0.4.6 tabulate==0.10.0 lxml==6.1.3
    cffi==2.1.1 pycparser==3.12
)

add_fairseq() {
    local mark="$dir/made-with-fairseq" site
    if [ "${1:-}" != fairseq ] || [ -f "$mark" ]; then
        exit 0
    fi
    if ! READTHEDOCS=1 "$dir/bin/pip" install --disable-pip-version-check --no-input -q --no-deps \
        --retries 1 --timeout 20 --no-build-isolation --no-binary fairseq fairseq==0.12.2 \
        >"$dir/pip.log" 2>&1 || ! "$dir/bin/pip" install --disable-pip-version-check --no-input -q \
        --no-deps --retries 1 --timeout 20 "${fairseq_packages[@]}" >"$dir/pip.log" 2>&1; then
        tail -n 3 "$dir/pip.log"
        echo "skipped: pip cannot fetch Fairseq (no registry?)"
        exit 77
    fi
    site=$("$dir/bin/python" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')
    sed -i 's/int(self\.torch_version\[2\])/1/' "$site/fairseq/modules/transformer_layer.py"
    sed -i 's/int(torch_version\[2\])/1/' "$site/fairseq/models/transformer/transformer_encoder.py"
    touch "$mark"
    exit 0
}

stamp="$dir/made-from"
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "${packages[*]}" ]; then
    add_fairseq "${2:-}"
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
add_fairseq "${2:-}"
