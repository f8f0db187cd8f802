#!/usr/bin/env bash
# One line, as diff -q; control characters of a path never reach the terminal raw.
cp nan.eet $'evil\e[31m.eet'
eet-diff -q encdec.eet $'evil\e[31m.eet'
