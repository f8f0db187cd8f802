#!/usr/bin/env bash
# --quick believes digests: a flipped bit of a tensor is found only without it.
cp good.eet flipped.eet
patch flipped.eet 24576 01
eet-diff --quick good.eet flipped.eet
echo "exit $?"
eet-diff good.eet flipped.eet
