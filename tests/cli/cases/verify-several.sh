#!/usr/bin/env bash
# All files are looked at; the code is that of the first bad one, and 1 gives way to worse.
eet-verify nowhere.eet good.eet
echo "$?"
eet-verify --deep nan.eet nowhere.eet good.eet
