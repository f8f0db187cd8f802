#!/usr/bin/env bash
eet-inspect nowhere.eet
