#!/usr/bin/env bash
# A byte of a tensor: level 0 does not look at it, 1 and 2 do.
patch good.eet 24576 01
eet-verify --quick good.eet
eet-verify --level 1 good.eet
echo "$?" >&2
eet-verify good.eet
