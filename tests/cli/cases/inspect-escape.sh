#!/usr/bin/env bash
# Control characters of a name never reach the terminal raw.
evil=$'evil\e[31m\n.eet'
eet-inspect "$evil"
cp good.eet "$evil"
eet-inspect --no-tensors "$evil" | head -n 1
