#!/usr/bin/env bash
# The class tables of python_shim beside the real Transformers and Fairseq, and the examples.
#   EET_BIN=build/release/bin EET_LIB=build/release/lib tests/oracle/python.sh
set -euo pipefail
cd "$(dirname "$0")/../.."
tests/oracle/install.sh build/oracle fairseq
export READTHEDOCS=1 EET_MINILM
EET_MINILM=$(tests/demo/minilm.sh)
exec build/oracle/bin/python python_shim/tests/run.py test_transformers test_examples
