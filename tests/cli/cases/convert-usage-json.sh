#!/usr/bin/env bash
eet-convert --json --no-such
