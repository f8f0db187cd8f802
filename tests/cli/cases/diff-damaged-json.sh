#!/usr/bin/env bash
# The second file is the one that an error is about.
patch encdec.eet 5000 ff
eet-diff --json good.eet encdec.eet
