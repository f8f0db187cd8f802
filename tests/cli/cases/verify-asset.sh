#!/usr/bin/env bash
# A byte of an asset.
patch good.eet 16550 01
eet-verify --level 1 good.eet
eet-verify good.eet
