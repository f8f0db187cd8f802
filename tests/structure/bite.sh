#!/usr/bin/env bash
# bite.sh - the checks of this folder can fail: each is run on a small tree that breaks its rule and
# must say so.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

# bites MESSAGE COMMAND...: the command must fail and say MESSAGE.
bites() {
    local message=$1 output
    shift
    if output=$(EET_ROOT="$work/tree" "$@" 2>&1); then
        echo "$* passed on a tree that breaks its rule"
        failed=1
    elif ! grep -qF -- "$message" <<<"$output"; then
        echo "$* did not say \"$message\" but: $output"
        failed=1
    fi
}

# A fresh tree with one file in it: path, text.
tree() {
    rm -rf "$work/tree"
    mkdir -p "$work"/tree/{format/cli,engine,kernels,converter,tests}
    cp "$here/../../format/eet_types.h" "$work/tree/format"
    cp "$here"/../../engine/{eet,eet_ops}.h "$work/tree/engine"
    if [ $# -gt 0 ]; then
        printf '%s\n' "/* ${1##*/} - a bad file. */" "${@:2}" >"$work/tree/$1"
    fi
}

tree kernels/a.c '#include "format/kv.h"'
bites 'kernels/a.c:2: "format/kv.h"' "$here/arrows.sh"
tree engine/a.c '#include "converter/source.h"'
bites 'engine/a.c:2: "converter/source.h"' "$here/arrows.sh"
tree engine/a.c '#include "format/cli/json.h"'
bites 'engine/a.c:2: "format/cli/json.h"' "$here/arrows.sh"
tree converter/a.c '#include "eet.h"'
bites 'converter/a.c:2: "eet.h"' "$here/arrows.sh"
tree format/a.c '#include "engine/session.h"'
bites 'format/a.c:2: "engine/session.h"' "$here/arrows.sh"

tree format/a.c '#include <zlib.h>'
cp "$work/tree/format/a.c" "$work/tree/converter/b.c"
bites '<zlib.h> is included by more than one file' "$here/dependencies.sh"
tree engine/a.c '#include <curl/curl.h>'
bites 'engine/a.c:2' "$here/dependencies.sh"

tree format/a.h 'uint32_t lonely(void);'
bites 'format/a.h does not compile alone' "$here/headers.sh"
tree
echo '#include "format/kv.h"' >>"$work/tree/engine/eet.h"
bites 'eet.h does not compile alone: c++' "$here/headers.sh"

tree format/a.c "$(seq -f '/* %g */' 501)"
bites '502 lines, against 500' "$here/style.sh"
tree format/a.c 'static int big(int a) {' "$(yes '    a += a;' | head -n 60)" '    return a;' '}'
bites 'big has 63 lines, against 60' "$here/style.sh"
tree
seq -f '# %g' 501 >"$work/tree/tests/a.py"
bites 'tests/a.py: 501 lines, against 500' python3 "$here/../python/length.py"
tree
printf 'def big():\n%s' "$(yes '    a = 1' | head -n 60)" >"$work/tree/tests/a.py"
bites 'big has 61 lines, against 60' python3 "$here/../python/length.py"
tree format/a.c '/* TO''DO: more */'
bites 'format/a.c:2' "$here/style.sh"
tree
echo 'int x;' >"$work/tree/format/b.c"
bites 'does not begin with "/* b.c - "' "$here/style.sh"

tree format/a.c 'int  x  ;'
if [ "$(cd "$work" && clang-format-14 --version 2>/dev/null | grep -c 'version 14')" = 1 ]; then
    bites 'format/a.c:2' "$here/format.sh"
fi

compile() { # source text, output, more flags
    echo "$1" | cc -x c -std=c17 -fPIC -o "$2" - "${@:3}"
}
compile 'static int counter; int next(void); int next(void) { return ++counter; }' \
    "$work/bss.o" -c
bites 'bytes in .bss' "$here/writable.sh" "$work/bss.o"
compile '_Thread_local int last = 3;' "$work/tls.o" -c
bites 'bytes in .tdata' "$here/writable.sh" "$work/tls.o"
bites 'next is code' "$here/tables.sh" "$work/bss.o"

tree
compile 'int eet_secret(void); int eet_secret(void) { return 1; }' "$work/libeet.so" -shared \
    -Wl,-soname,libeet.so.9
bites 'eet_secret is exported and not in engine/eet.h' "$here/exports.sh" "$work/libeet.so"
bites 'eet_model_open is declared EET_API and not exported' "$here/exports.sh" "$work/libeet.so"
bites "the SONAME is 'libeet.so.9'" "$here/exports.sh" "$work/libeet.so"
compile 'extern int deflateReset(void *); int f(void); int f(void) { return deflateReset(0); }' \
    "$work/libeet.so" -shared -lz
bites 'libeet.so needs libz.so.1' "$here/exports.sh" "$work/libeet.so"

if command -v shellcheck >/dev/null; then
    tree
    mkdir "$work"/tree/{.ci,cmake,fixtures}
    early='grep -q libc' # not to be found in this file
    printf '%s\n' '#!/usr/bin/env bash' "ldd /bin/sh | $early" >"$work/tree/tests/a.sh"
    bites "tests/a.sh:2:ldd /bin/sh | $early: grep -q ends" "$here/shell.sh"
fi
exit "$failed"
