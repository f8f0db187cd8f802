#!/usr/bin/env bash
eet-verify -q good.eet
