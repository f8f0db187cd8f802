#!/usr/bin/env bash
# The real Fairseq 0.12.2: recomputes its goldens, and compares the defaults of its architectures.
set -euo pipefail
cd "$(dirname "$0")/../.."
tests/oracle/install.sh build/oracle fairseq
export READTHEDOCS=1 # there are no extensions to ask for
build/oracle/bin/python tests/oracle/fairseq_defaults.py
build/oracle/bin/python fixtures/fairseq/beams.py --check 2>/dev/null
exec build/oracle/bin/python fixtures/fairseq/make.py --check 2>/dev/null
