#!/usr/bin/env bash
# The document: counts and three kinds of differences.
eet-diff --json good.eet encdec.eet >out
code=$?
jq -c 'del(.differences)' out
jq -c '.differences[] | select(.name == "dec.act" or .name == "vocab.json" or .name == "dec.norm.b" or .name == "dec.0000.cross.q.w")' out
exit $code
