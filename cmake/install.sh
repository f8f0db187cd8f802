#!/usr/bin/env bash
# install.sh install|uninstall|package - what the Makefile's targets of these names do.
#
# From the environment: prefix or PREFIX (/usr/local), DESTDIR, BUILD (build/install: where it is
# built), and bindir, libdir, includedir, mandir, datadir where they are not GNUInstallDirs' choice.
set -euo pipefail
cd "$(dirname "$0")/.."
build=$(realpath -m -- "${BUILD:-build/install}")
prefix=${prefix:-${PREFIX:-/usr/local}}
prefix=$(realpath -m -- "${prefix/#\~\//$HOME/}") # no shell expands the ~ of make's prefix=~/eet
if [ -n "${DESTDIR:-}" ]; then
    DESTDIR=$(realpath -m -- "${DESTDIR/#\~\//$HOME/}")
    [ "$DESTDIR" != / ] || DESTDIR=
    export DESTDIR
fi

# Root builds nothing in a folder of somebody else: `sudo make install` leaves no files of root's.
as_owner() {
    local owner
    owner=$(stat -c %U .)
    if [ "$(id -u)" = 0 ] && [ "$owner" != root ] && [ "$owner" != UNKNOWN ]; then
        runuser -u "$owner" -- "$@"
    else
        "$@"
    fi
}

configure_and_build() {
    local folder value options=()
    for folder in bindir libdir includedir mandir datadir; do
        value=${!folder:-}
        if [ -n "$value" ]; then
            options+=("-DCMAKE_INSTALL_${folder^^}=$value")
        else
            options+=("-UCMAKE_INSTALL_${folder^^}")
        fi
    done
    as_owner cmake --preset install -B "$build" --log-level=WARNING \
        "-DCMAKE_INSTALL_PREFIX=$prefix" "${options[@]}" >/dev/null
    as_owner cmake --build "$build" -j "${JOBS:-$(nproc)}" -- --quiet
}

# Says what to do, where a folder cannot be written.
demand_writable() {
    local folder=${DESTDIR:-}$prefix
    while [ ! -e "$folder" ]; do
        folder=$(dirname "$folder")
    done
    if [ ! -w "$folder" ]; then
        echo "$folder cannot be written: choose another with prefix=..., or run this as root" >&2
        exit 1
    fi
}

# The linker's cache, for a library that went to or from a folder of its own list.
refresh_cache() {
    case $prefix in
    /usr | /usr/local)
        if [ "$(id -u)" = 0 ] && [ -z "${DESTDIR:-}" ]; then
            ldconfig
        fi
        ;;
    esac
}

# What root's cmake wrote into the build folder belongs to the folder's owner.
hand_back() {
    if [ "$(id -u)" = 0 ]; then
        find "$build" -maxdepth 1 -user root -exec chown --reference=. -- {} +
    fi
}

case ${1:-} in
install)
    demand_writable
    configure_and_build
    cmake --install "$build" | sed '/Up-to-date/d; /Set runtime path/d; /Install configuration/d'
    hand_back
    refresh_cache
    ;;
uninstall)
    cmake -D EET_RECORDS="$build" -D CMAKE_INSTALL_PREFIX="$prefix" -P cmake/uninstall.cmake
    refresh_cache
    ;;
package)
    prefix=/usr
    unset DESTDIR
    configure_and_build
    if ! as_owner cpack --config "$build/CPackConfig.cmake" -G DEB -B "$build/package" \
        >"$build/cpack.log" 2>&1; then
        cat "$build/cpack.log" >&2
        exit 1
    fi
    sed -n 's/^CPack: - package: \(.*\) generated\.$/\1/p' "$build/cpack.log"
    ;;
*)
    echo "usage: install.sh install|uninstall|package" >&2
    exit 2
    ;;
esac
