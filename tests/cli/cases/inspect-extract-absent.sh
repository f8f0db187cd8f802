#!/usr/bin/env bash
# A name that is no asset, however it is spelt, leaves nothing.
for name in nothing.json ../good.eet /etc/passwd $'a\e[31m'; do
    eet-inspect --extract="$name" -o out good.eet
    echo "exit $?"
done
eet-inspect --extract good.eet
echo "exit $?"
eet-inspect --extract -o - good.eet
echo "exit $?"
eet-inspect --extract --digest -o out good.eet
echo "exit $?"
eet-inspect --extract -o good.eet encdec.eet
echo "exit $?"
eet-inspect --extract -o missing/out good.eet
echo "exit $?"
ls
