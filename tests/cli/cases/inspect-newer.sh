#!/usr/bin/env bash
# Another major version is unsupported, not damaged.
patch good.eet 8 02
eet-inspect good.eet
