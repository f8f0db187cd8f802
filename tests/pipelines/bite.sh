#!/usr/bin/env bash
# bite.sh - run_page.sh fails where it should: a page that fails, shows what is not printed, hides
# what is, or never ends a block; and skips where a tool is missing.
# shellcheck disable=SC2016 # fences and commands are the pages' own
set -euo pipefail
shopt -s lastpipe # so that what `ends` finds is heard
run=$PWD/tests/pipelines/run_page.sh
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
failed=0
count=0

# ends NAME CODE SAYS - the page on standard input.
ends() {
    local code=0
    count=$((count + 1))
    cat >"$folder/$1.md"
    "$run" "$folder/$1.md" >"$folder/said" 2>&1 || code=$?
    if [ "$code" != "$2" ] || ! grep -qF -- "$3" "$folder/said"; then
        echo "$1: ends with $code, against $2, and says: $(cat "$folder/said")"
        failed=1
    fi
}

page() { # COMMAND SHOWN
    printf '# A page\n\n```sh\n%s\n```\n\n```text\n%s\n```\n' "$1" "$2"
}

page 'echo a; echo b' $'a\nb' | ends right 0 "1 blocks run, 1 print"
page 'echo one two three' 'one ... three' | ends wild 0 "1 blocks run"
page 'seq 9' $'1\n...\n8\n9' | ends wild-lines 0 "1 blocks run"
page 'ls checkpoint' $'config.json\n...' | ends checkpoint 0 "1 blocks run"
page 'echo "a*b [c]"' 'a*b [c]' | ends literal 0 "1 blocks run"
page 'sleep 60 & true' '...' | ends background 0 "1 blocks run"
page 'echo a' 'b' | ends wrong 1 "prints something else"
page 'seq 3' $'1\n2' | ends more 1 "prints something else"
page 'echo 1' $'1\n2' | ends less 1 "prints something else"
page 'seq 3' $'...\n2' | ends tail 1 "prints something else"
page 'echo axb' 'a*b' | ends glob 1 "prints something else"
page 'echo here; false; echo there' 'here' | ends fails 1 "block 1 ends with 1"
page 'echo $undefined' '' | ends undefined 1 "block 1 ends with 1"
printf '```sh\ntrue\n```\n' | ends silent 1 "shows no output"
printf '```sh\ntrue\n' | ends unended 1 "a block without an end"
printf '# Text\n' | ends empty 1 "no commands"
{
    echo '<!-- needs: bash no-such-tool-anywhere -->'
    page true ''
} | ends skipped 77 "needs no-such-tool-anywhere"
{
    printf '```make title=Makefile\nall:\n\t@echo made\n```\n'
    page 'cat Makefile | wc -l' 2
} | ends file 0 "1 blocks run"
[ "$count" = 18 ] || failed=1
[ "$failed" = 0 ] && echo "$count pages end as they should"
exit "$failed"
