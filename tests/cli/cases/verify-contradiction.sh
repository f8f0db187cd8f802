#!/usr/bin/env bash
eet-verify --quick --deep good.eet
