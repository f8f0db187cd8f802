#!/usr/bin/env bash
# What a killed converter leaves: zeros.
head -c 8192 /dev/zero >zeros.eet
eet-inspect zeros.eet
