#!/usr/bin/env bash
# One name that is taken, and nothing is written; a link is replaced and not followed.
mkdir out
echo mine >target
ln -s ../target out/vocab.json
eet-inspect --extract -o out good.eet
code=$?
ls -A out
eet-inspect --extract -o out --force good.eet || exit
cat target
stat -c '%n %F' out/*
exit $code
