#!/usr/bin/env bash
# A NaN and an infinity against numbers; in nan.eet two places of one tensor differ.
eet-diff --stats encdec.eet nan.eet
echo "exit $?"
eet-diff --stats --json nan.eet encdec.eet | jq -c '.differences[] | {name, change, what, stats}'
exit "${PIPESTATUS[0]}"
