#!/usr/bin/env bash
# tidy.sh BUILD - clang-tidy and cppcheck over the product's files; BUILD has compile_commands.json.
build=$(readlink -f "$1")
source "$(dirname "$0")/lib.sh"

mapfile -t files < <(c_files format kernels engine converter | grep '\.c$')
looked_at "${#files[@]}"
printf '%s\n' "${files[@]}" | xargs -P "$(nproc)" -n 8 clang-tidy-14 --quiet -p "$build" 2>/dev/null ||
    found "clang-tidy: see above"
cppcheck --quiet --error-exitcode=1 --std=c11 --enable=warning,performance,portability \
    --inline-suppr --suppress=missingIncludeSystem -I. -Iformat -Iengine "${files[@]}" ||
    found "cppcheck: see above"
finish "${#files[@]} files"
