#!/usr/bin/env bash
eet-verify --level 3 good.eet
