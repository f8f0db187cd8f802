#!/usr/bin/env bash
cat good.eet encdec.eet >both.eet
eet-verify both.eet
