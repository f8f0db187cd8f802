#!/usr/bin/env bash
# Random models of RoBERTa, XLM-R, CamemBERT and DistilBERT against the real transformers, and the
# model types that are refused.
#   EET_BIN=build/release/bin tests/oracle/families.sh
set -euo pipefail
cd "$(dirname "$0")/../.."
tests/oracle/install.sh
exec build/oracle/bin/python tests/oracle/families.py
