#!/usr/bin/env bash
# arrows.sh - the include arrows between folders (docs/architecture.md):
#   converter -> format <- engine -> kernels, and eet_types.h for everyone.
# The main file of a command, and what only it uses, may include what it links.
source "$(dirname "$0")/lib.sh"

# The folders that a file may include from.
allowed() {
    case $1 in
    format/cli/*) echo "format/cli/ format/" ;;
    # ... and eet-verify compares a file with a checkpoint.
    format/commands/verify*) echo "format/commands/ format/cli/ format/ converter/against.h" ;;
    format/commands/*) echo "format/commands/ format/cli/ format/" ;;
    format/*) echo "format/" ;;
    kernels/*) echo "kernels/ format/half.h" ;;
    # Arrows bind libraries: the benchmark's probe runs on the kernels' threads.
    engine/commands/bench* | engine/commands/probe*)
        echo "engine/commands/ engine/ kernels/ format/cli/ format/"
        ;;
    engine/commands/*) echo "engine/commands/ engine/ format/cli/ format/" ;;
    engine/*) echo "engine/ kernels/ format/" ;;
    converter/*) echo "converter/ format/cli/ format/" ;;
    esac
}

# The public headers that a file may include by bare name.
allowed_bare() {
    case $1 in
    engine/*) echo "eet.h eet_ops.h eet_types.h" ;;
    *) echo "eet_types.h" ;;
    esac
}

check_include() { # file, line number, what is included
    local file=$1 line=$2 target=$3 prefix bare
    if [[ $target != */* ]]; then
        for bare in $(allowed_bare "$file"); do
            [[ $target == "$bare" ]] && return
        done
    elif [[ $target == format/cli/* && " $(allowed "$file") " != *" format/cli/ "* ]]; then
        : # format/ alone does not open format/cli/
    else
        for prefix in $(allowed "$file"); do
            [[ $target == "$prefix"* ]] && return
        done
    fi
    found "$file:$line: \"$target\" is not among: $(allowed "$file")$(allowed_bare "$file")"
}

count=0
while IFS=: read -r file line text; do
    count=$((count + 1))
    target=${text#*\"}
    check_include "$file" "$line" "${target%%\"*}"
done < <(c_files format kernels engine converter |
    xargs -r grep -nH '^[[:space:]]*#[[:space:]]*include[[:space:]]*"')

looked_at "$count"
finish "$count includes"
