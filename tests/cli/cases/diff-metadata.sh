#!/usr/bin/env bash
# Other numbers are no other metadata.
eet-diff --metadata-only encdec.eet nan.eet || exit
eet-diff --metadata-only good.eet encdec.eet | tail -n 1
exit "${PIPESTATUS[0]}"
