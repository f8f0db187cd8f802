#!/usr/bin/env bash
eet-inspect .
