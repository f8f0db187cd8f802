#!/usr/bin/env bash
for level in "--level 0" "--level 1" "--level 2" --quick --deep; do
    eet-verify $level good.eet
done
