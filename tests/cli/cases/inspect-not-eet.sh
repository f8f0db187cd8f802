#!/usr/bin/env bash
echo "PK no, text" >text.eet
eet-inspect text.eet
