#!/usr/bin/env bash
# Recomputes the goldens of sampled texts, and compares other draws of eet-run with the real
# transformers.
#   EET_BIN=build/release/bin tests/oracle/sampling.sh
set -euo pipefail
cd "$(dirname "$0")/../.."
tests/oracle/install.sh
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

build/oracle/bin/python fixtures/make_sampling.py --check
for name in gpt2_tiny gpt2_untied gpt2_invscale gpt2_noscale gpt2_head26; do
    "$EET_BIN/eet-convert" "fixtures/checkpoints/$name" -o "$work/$name.eet" >"$work/said" 2>&1 ||
        {
            cat "$work/said"
            exit 1
        }
done
build/oracle/bin/python tests/oracle/sampling.py "$EET_BIN/eet-run" "$work"/*.eet
