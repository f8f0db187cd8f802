#!/usr/bin/env bash
# tidy.sh BUILD - clang-tidy and cppcheck over the product's files; BUILD has compile_commands.json.
build=$(readlink -f "$1")
source "$(dirname "$0")/lib.sh"

# Files (one a line) through clang-tidy, with more arguments for it.
tidy() {
    xargs -P "$(nproc)" -n 4 clang-tidy-14 --quiet -p "$build" "$@" 2>/dev/null ||
        found "clang-tidy: see above"
}

mapfile -t files < <(c_files format kernels engine converter | grep '\.c$')
looked_at "${#files[@]}"
# error.c defines what the model describes to all others.
tidy "--extra-arg=-I$PWD" --extra-arg=-include --extra-arg=tests/structure/tidy_model.h \
    < <(printf '%s\n' "${files[@]}" | grep -vx format/error.c)
tidy <<<format/error.c

# Over several files cppcheck does not see what guards a pointer, nor that snprintf writes
# (ctu*); and it takes a sum of exponentials, one of them e^0, for 0 (invalidFunctionArg).
cppcheck --quiet --error-exitcode=1 --std=c11 --enable=warning,performance,portability \
    --inline-suppr --suppress=missingIncludeSystem --suppress=ctunullpointer \
    --suppress=ctuuninitvar --suppress=invalidFunctionArg:kernels/sample.c \
    -I. -Iformat -Iengine "${files[@]}" ||
    found "cppcheck: see above"
finish "${#files[@]} files"
