#!/usr/bin/env bash
# Recomputes the goldens of beam searches, and compares other searches of eet-run with the real
# transformers.
#   EET_BIN=build/release/bin tests/oracle/beams.sh
set -euo pipefail
cd "$(dirname "$0")/../.."
tests/oracle/install.sh
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

build/oracle/bin/python fixtures/make_beams.py --check
for name in gpt2_tiny gpt2_untied gpt2_invscale gpt2_noscale gpt2_head26 gpt2_f16 bart_lm; do
    "$EET_BIN/eet-convert" "fixtures/checkpoints/$name" -o "$work/$name.eet" >"$work/said" 2>&1 ||
        {
            cat "$work/said"
            exit 1
        }
done
build/oracle/bin/python tests/oracle/beams.py "$EET_BIN/eet-run" "$work"/*.eet
