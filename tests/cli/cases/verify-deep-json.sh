#!/usr/bin/env bash
# Which tensors, how many; a good file has none.
eet-verify --deep --json nan.eet >out
code=$?
jq -c '.checked, .files[0].census' out
eet-verify --deep --json good.eet | jq -c '.files[0].census'
exit $code
