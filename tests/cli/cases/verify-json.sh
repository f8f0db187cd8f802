#!/usr/bin/env bash
eet-verify --json --deep good.eet nan.eet
