#!/usr/bin/env bash
# A failed check of values is 1; the file is whole.
eet-verify nan.eet
eet-verify --deep nan.eet
