#!/usr/bin/env bash
# An asset that is not the one of its digest: nothing is written, not even the folder.
patch good.eet 16580 01
eet-inspect --extract -o out good.eet
code=$?
ls
exit $code
