#!/usr/bin/env bash
: >empty.eet
eet-inspect empty.eet
