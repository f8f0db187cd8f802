#!/usr/bin/env bash
# The whole of a file for people.
eet-inspect --sections good.eet
