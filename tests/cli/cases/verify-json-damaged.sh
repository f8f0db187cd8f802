#!/usr/bin/env bash
# Each file has its own error, in the form that all errors have.
patch encdec.eet 24576 01
eet-verify --json good.eet encdec.eet missing.eet >out
code=$?
jq -c '.files[] | {path, good, exit_code, error}' out
exit $code
