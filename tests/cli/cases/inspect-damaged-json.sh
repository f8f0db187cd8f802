#!/usr/bin/env bash
# An error in JSON goes to stdout; stderr stays empty; the exit code is the same.
patch good.eet 4300 ff
eet-inspect --json good.eet
