#!/usr/bin/env bash
# The document of docs/commands.md.
eet-inspect --json good.eet
