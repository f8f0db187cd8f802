#!/usr/bin/env bash
# Two stacks, an alias between them, computed positions, no heads with parts.
eet-inspect encdec.eet
