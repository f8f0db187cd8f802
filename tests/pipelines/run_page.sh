#!/usr/bin/env bash
# run_page.sh PAGE - runs the commands of a page of docs/pipelines/ as they stand there, in a folder
# of their own, and compares what they print with what the page shows:
#   ```sh              commands; all blocks of a page run in one shell, which ends at the first failure
#   ```text            right behind one of them: what it prints; "..." stands for anything, and alone
#                      on a line for any number of lines
#   ```WORD title=F    the file F
# The folder holds a checkpoint in checkpoint/. A comment "<!-- needs: TOOL... -->" names the tools;
# without one of them the page is skipped (77). The network is out of reach.
set -euo pipefail
page=$1
fixture=fixtures/checkpoints/gpt2_tiny
top=$PWD

# shellcheck disable=SC2013 # a tool has no spaces
for tool in $(sed -n 's/^<!-- needs: \(.*\) -->$/\1/p' "$page"); do
    if [ "$tool" = dvc ] && ! command -v dvc >/dev/null; then
        tests/pipelines/install_dvc.sh || exit
        PATH=$PATH:$top/build/dvc/bin
    fi
    if ! command -v "$tool" >/dev/null && ! [ -x "$EET_BIN/$tool" ]; then
        echo "skipped: $page needs $tool (.ci/install test)"
        exit 77
    fi
done

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir "$folder/.page" "$folder/.home"
cp -r "$fixture" "$folder/checkpoint"
chmod -R u+w "$folder/checkpoint"

# The page as a script: .page/N.out is what block N printed, .page/N.text what it should.
awk -v out="$folder/.page" '
    function quoted(text) { gsub(/\x27/, "\x27\\\x27\x27", text); return "\x27" text "\x27" }
    !inside && /^```/ {
        inside = 1
        word = substr($1, 4)
        title = match($0, /title=[^ ]+/) ? substr($0, RSTART + 6, RLENGTH - 6) : ""
        if (title != "") {
            file = sprintf("%s/file%d", out, ++files)
            printf "cp %s %s\n", quoted(file), quoted(title)
        } else if (word == "sh") {
            printf "echo %d >.page/block; {\n", ++blocks
        } else if (word == "text" && after == "sh") {
            file = sprintf("%s/%d.text", out, blocks)
        } else {
            word = "other"
        }
        if (file != "") printf "" >file
        next
    }
    inside && /^```$/ {
        if (title == "" && word == "sh") printf "} >.page/%d.out 2>&1\n", blocks
        after = title == "" ? word : ""
        if (file != "") close(file)
        file = ""
        inside = 0
        next
    }
    inside && file != "" { print >file; next }
    inside && word == "sh" { print; next }
    !inside && NF { after = after == "sh" ? "sh" : "" }
    END { if (inside || !blocks) exit 1 }
' "$page" >"$folder/.page/script" || {
    echo "$page: no commands, or a block without an end"
    exit 1
}

port=$(/usr/bin/python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
code=0
(
    cd "$folder"
    unset MAKEFLAGS MAKELEVEL MFLAGS
    export HOME=$folder/.home LC_ALL=C.UTF-8 TZ=UTC TERM=dumb PATH=$EET_BIN:$PATH REGISTRY_PORT=$port
    export http_proxy=http://127.0.0.1:9 https_proxy=http://127.0.0.1:9 no_proxy=127.0.0.1
    export DVC_NO_ANALYTICS=1 DVC_SITE_CACHE_DIR=$folder/.home/dvc
    {
        echo 'set -euo pipefail'
        # What the page started in the background ends with it.
        # shellcheck disable=SC2016 # for the page's shell
        echo 'trap '\''for job in $(jobs -p); do kill "$job" || true; done; wait'\'' EXIT'
        cat .page/script
    } >.page/run
    bash .page/run </dev/null >.page/stray 2>&1
) || code=$?
block=$(cat "$folder/.page/block" 2>/dev/null || echo 0)
if [ "$code" != 0 ]; then
    echo "$page: block $block ends with $code and says:"
    cat "$folder/.page/stray" "$folder/.page/$block.out" 2>/dev/null || true
    exit 1
fi

# matches EXPECTED ACTUAL - line by line.
matches() {
    local -a want got
    mapfile -t want <"$1"
    mapfile -t got <"$2"
    local w=0 g=0 any=0 pattern
    while [ "$w" -lt "${#want[@]}" ]; do
        if [ "${want[w]}" = "..." ]; then
            any=1
            w=$((w + 1))
            continue
        fi
        pattern=$(sed 's/[][*?\\]/\\&/g; s/\.\.\./*/g' <<<"${want[w]}")
        # shellcheck disable=SC2053 # the pattern is one
        while [ "$any" = 1 ] && [ "$g" -lt "${#got[@]}" ] && [[ ${got[g]} != $pattern ]]; do
            g=$((g + 1))
        done
        # shellcheck disable=SC2053
        [ "$g" -lt "${#got[@]}" ] && [[ ${got[g]} == $pattern ]] || return 1
        any=0
        w=$((w + 1))
        g=$((g + 1))
    done
    [ "$any" = 1 ] || [ "$g" = "${#got[@]}" ]
}

failed=0
shown=0
for text in "$folder"/.page/*.text; do
    [ -e "$text" ] || continue
    shown=$((shown + 1))
    if ! matches "$text" "${text%.text}.out"; then
        failed=1
        echo "$page: block $(basename "$text" .text) prints something else than the page shows:"
        diff -u --label "the page" --label "printed" "$text" "${text%.text}.out" || true
    fi
done
if [ "$shown" = 0 ]; then
    echo "$page shows no output"
    failed=1
fi
[ "$failed" = 0 ] && echo "$page: $block blocks run, $shown print what the page shows"
exit "$failed"
