#!/usr/bin/env bash
eet-inspect --tensro x good.eet
