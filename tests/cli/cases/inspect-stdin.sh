#!/usr/bin/env bash
eet-inspect - <good.eet
