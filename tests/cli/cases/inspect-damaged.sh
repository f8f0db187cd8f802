#!/usr/bin/env bash
# A byte of META.
patch good.eet 4300 ff
eet-inspect good.eet
