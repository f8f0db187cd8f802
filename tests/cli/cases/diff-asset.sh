#!/usr/bin/env bash
# A byte of an asset that is not the one of its digest.
cp good.eet other.eet
patch other.eet 16550 01
eet-diff good.eet other.eet
