#!/usr/bin/env bash
eet-verify good.eet >/dev/full
