#!/usr/bin/env bash
eet-verify good.eet encdec.eet
