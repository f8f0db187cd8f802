#!/usr/bin/env bash
# A byte between two tensors: only level 2 looks there.
patch good.eet 24700 01
eet-verify --level 1 good.eet
eet-verify good.eet
