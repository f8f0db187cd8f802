#!/usr/bin/env bash
# The reader is gone before anything is printed.
set -o pipefail
{ sleep 0.2; eet-inspect good.eet; } | true
