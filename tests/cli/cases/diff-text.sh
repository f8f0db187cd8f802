#!/usr/bin/env bash
# What differs, for people.
eet-diff encdec.eet good.eet
