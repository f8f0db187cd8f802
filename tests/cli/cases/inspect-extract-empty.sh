#!/usr/bin/env bash
# An empty name, as of a variable that is not set, is no way to say "all".
eet-inspect --extract= -o out good.eet
echo "exit $?"
eet-inspect --digest= good.eet
echo "exit $?"
ls
