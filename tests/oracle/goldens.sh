#!/usr/bin/env bash
# Recomputes fixtures/golden with the real transformers and compares.
set -euo pipefail
cd "$(dirname "$0")/../.."
tests/oracle/install.sh
build/oracle/bin/python fixtures/make_pairs.py --check
exec build/oracle/bin/python fixtures/make_fixtures.py --check
