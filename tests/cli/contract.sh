#!/usr/bin/env bash
# contract.sh - what every command promises (docs/commands.md), asked of each that is built: --help
# fits a screen and ends with three examples, --version is a line, misuse is exit code 2 and says
# nothing on stdout, output that cannot be written is exit code 5.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
failed=0
asked=0

complain() {
    echo "$1: $2"
    failed=1
}

# ends NAME CODE ARGUMENT... - runs the command; its streams are in out and err.
ends() {
    local name=$1 wanted=$2 code=0
    shift 2
    "$EET_BIN/$name" "$@" >"$folder/out" 2>"$folder/err" </dev/null || code=$?
    [ "$code" = "$wanted" ] || complain "$name" "'$*' ends with $code, against $wanted"
}

is_empty() {
    [ ! -s "$folder/$2" ] || complain "$1" "std$2 is not empty: $(head -c 200 "$folder/$2")"
}

for path in "$EET_BIN"/eet-*; do
    name=${path##*/}
    asked=$((asked + 1))
    page=docs/commands/$name.md
    if [ ! -f "$page" ] || ! grep -qF "(commands/$name.md)" docs/commands.md; then
        complain "$name" "there is no $page, or docs/commands.md does not name it"
        continue
    fi

    ends "$name" 0 --help
    is_empty "$name" err
    lines=$(wc -l <"$folder/out")
    [ "$lines" -le 24 ] || complain "$name" "--help has $lines lines, against 24"
    width=$(LC_ALL=C.UTF-8 wc -L <"$folder/out")
    [ "$width" -le 80 ] || complain "$name" "--help is $width columns wide, against 80"
    [ "$(tail -n 4 "$folder/out" | head -n 1)" = "Examples:" ] ||
        complain "$name" "--help does not end with three examples"
    [ "$(tail -n 3 "$folder/out" | grep -c "^  $name ")" = 3 ] ||
        complain "$name" "an example does not begin with the command"
    while read -r option; do
        case $option in
        --help | --version) continue ;; # docs/commands.md: all have them
        esac
        grep -qF -- "$option" "$page" || complain "$name" "$page has no $option"
    done < <(grep -oE -- '--[a-z][a-z-]*' "$folder/out" | sort -u)

    ends "$name" 0 --version
    is_empty "$name" err
    if [ "$(wc -l <"$folder/out")" != 1 ] ||
        ! grep -qE "^$name [0-9]+\.[0-9]+\.[0-9]+$" "$folder/out"; then
        complain "$name" "--version says: $(cat "$folder/out")"
    fi

    ends "$name" 2 --no-such-option
    is_empty "$name" out
    grep -q "^$name: error: there is no option --no-such-option$" "$folder/err" ||
        complain "$name" "an unknown option says: $(cat "$folder/err")"
    ends "$name" 2 -%
    ends "$name" 2
    is_empty "$name" out

    for output in /dev/full closed; do
        code=0
        if [ "$output" = closed ]; then
            "$EET_BIN/$name" --help >&- 2>"$folder/err" || code=$?
        else
            "$EET_BIN/$name" --help >"$output" 2>"$folder/err" || code=$?
        fi
        [ "$code" = 5 ] || complain "$name" "--help to $output ends with $code, against 5"
    done
    code=0
    { sleep 0.1; "$EET_BIN/$name" --help 2>"$folder/err"; echo $? >"$folder/code"; } | true || code=$?
    [ "$(cat "$folder/code")" = 5 ] || complain "$name" "--help to a closed pipe: $(cat "$folder/code")"
    code=0
    "$EET_BIN/$name" --no-such-option 2>/dev/full || code=$?
    [ "$code" = 2 ] || complain "$name" "an error to a full stderr ends with $code, against 2"
done
[ "$asked" -ge 2 ] || complain "contract" "only $asked commands are built in $EET_BIN"
[ "$failed" = 0 ] && echo "$asked commands keep the contract"
exit "$failed"
