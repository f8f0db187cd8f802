#!/usr/bin/env bash
eet-inspect --key dec.nothing good.eet
