#!/usr/bin/env bash
head -c 24576 good.eet >short.eet
eet-verify short.eet
