#!/usr/bin/env bash
# Has the real transformers write fixtures/sharded once more, and compares the bytes.
set -euo pipefail
cd "$(dirname "$0")/../.."
tests/oracle/install.sh
exec build/oracle/bin/python fixtures/make_shards.py --check
