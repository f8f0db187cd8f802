#!/usr/bin/env bash
# Without the list of tensors; and provenance alone.
eet-inspect --json --no-tensors encdec.eet
eet-inspect --json --provenance good.eet
eet-inspect --provenance good.eet
