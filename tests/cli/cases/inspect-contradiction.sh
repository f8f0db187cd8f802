#!/usr/bin/env bash
eet-inspect --digest --key dec.layers good.eet
