#!/usr/bin/env bash
# Trouble is 2 and above, never 1.
eet-diff good.eet missing.eet
echo "exit $?"
eet-diff . good.eet
echo "exit $?"
eet-diff good.eet -
echo "exit $?"
eet-diff --quick --stats good.eet good.eet
echo "exit $?"
eet-diff good.eet
echo "exit $?"
head -c 5000 good.eet >short.eet
eet-diff good.eet short.eet
echo "exit $?"
eet-diff good.eet encdec.eet >/dev/full
