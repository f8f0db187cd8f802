#!/usr/bin/env bash
# outside.sh BUILD - installs the build, moves it, and builds an outside project against it: with
# CMake and with pkg-config, both libraries, from C and from C++. Each program runs a model.
set -euo pipefail
build=$1
here=$PWD/tests/install
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# shellcheck source=tests/install/lib.sh
source "$here/lib.sh"

cmake --install "$build" --prefix "$work/first" >"$work/log"
mkdir "$work/deep"
mv "$work/first" "$work/deep/moved"
prefix=$work/deep/moved
export LD_LIBRARY_PATH=$prefix/lib PATH=$prefix/bin:$PATH

eet-convert -q fixtures/checkpoints/gpt2_tiny -o "$work/gpt2.eet" >/dev/null
wanted=$(eet-run "$work/gpt2.eet" --ids 5,10,15 -n 4)
[[ $wanted =~ ^[0-9]+(,[0-9]+){3}$ ]] || fail "eet-run of the installation says: $wanted"

gives_tokens() { # name, command...
    local got
    got=$("${@:2}" "$work/gpt2.eet") || fail "$1 does not run"
    [ "$got" = "$wanted" ] || fail "$1 says $got, against $wanted"
}
needs_library() { readelf -d "$1" | grep 'NEEDED.*libeet\.so\.1' >/dev/null; }

# CMake.
cmake -S "$here/outside" -B "$work/cmake" -DCMAKE_PREFIX_PATH="$prefix" >"$work/log" ||
    fail "the outside project does not configure: $(cat "$work/log")"
cmake --build "$work/cmake" >"$work/log" 2>&1 || fail "it does not build: $(cat "$work/log")"
for program in c_eet cxx_eet c_eet_static cxx_eet_static; do
    gives_tokens "$program" "$work/cmake/$program"
done
needs_library "$work/cmake/c_eet" || fail "EET::eet is not libeet.so"
! needs_library "$work/cmake/c_eet_static" || fail "EET::eet_static needs libeet.so"
for version in 0.2 1.0; do
    sed "s/EET 0.1/EET $version/" "$here/outside/CMakeLists.txt" >"$work/CMakeLists.txt"
    cp "$here/outside/hello.c" "$work"
    ! cmake -S "$work" -B "$work/refused" -DCMAKE_PREFIX_PATH="$prefix" >"$work/log" 2>&1 ||
        fail "find_package takes this version for $version"
done

# pkg-config; the same program finds the header by its bare name too.
export PKG_CONFIG_PATH=$prefix/lib/pkgconfig
pkg-config --validate eet || fail "eet.pc is not valid"
[ "$(pkg-config --modversion eet)" = "$(eet-run --version | sed 's/.* //')" ] ||
    fail "eet.pc has another version than the commands"
sed 's|<eet/eet.h>|<eet.h>|' "$here/outside/hello.c" >"$work/bare.c"
strict=(-Wall -Wextra -Wpedantic -Werror)
# The flags are lists of words.
# shellcheck disable=SC2046
{
    cc -std=c11 "${strict[@]}" $(pkg-config --cflags eet) "$work/bare.c" \
        $(pkg-config --libs eet) -o "$work/shared"
    cc -std=c11 "${strict[@]}" $(pkg-config --cflags eet) "$work/bare.c" \
        -static $(pkg-config --static --libs eet) -o "$work/static"
    c++ -std=c++17 "${strict[@]}" $(pkg-config --cflags eet) -x c++ "$here/outside/hello.c" \
        -x none $(pkg-config --libs eet) -o "$work/cxx"
}
for program in shared static cxx; do
    gives_tokens "pkg-config's $program" "$work/$program"
done
needs_library "$work/shared" || fail "pkg-config --libs is not libeet.so"
gives_tokens "the static program, alone" env -u LD_LIBRARY_PATH "$work/static"

echo "an outside project builds and runs both ways"
