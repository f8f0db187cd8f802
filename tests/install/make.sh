#!/usr/bin/env bash
# make.sh - `make install`, `make uninstall` and `make package` in a copy of the sources: what lands
# where, that nothing is left, that nothing tells where it was built, that the packages pass lintian
# and work.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# shellcheck source=tests/install/lib.sh
source "$PWD/tests/install/lib.sh"
unset DESTDIR prefix PREFIX bindir libdir includedir mandir datadir BUILD MAKEFLAGS MAKELEVEL CFLAGS LDFLAGS
export SOURCE_DATE_EPOCH=1700000000 JOBS=2

mkdir "$work/one"
cp -r .ci CMakeLists.txt CMakePresets.json Makefile CHANGELOG.md LICENSE cmake converter docs engine \
    format kernels "$work/one"
chmod -R a+rX "$work/one" # whatever the umask that the sources were checked out with
make() { command make --no-print-directory -C "$work/one" "$@" >"$work/log" 2>&1; }
made() { make "$@" || fail "make $* fails: $(cat "$work/log")"; }

# What was there before stays as it was: an empty folder, and somebody's file.
root=$work/root
mkdir -p "$root/usr/share/man/man1" "$root/usr/include"
echo "not ours" >"$root/usr/include/other.h"
listing "$root" >"$work/before"

made install DESTDIR="$root" prefix=/usr
listing "$root" >"$work/once"
made install DESTDIR="$root" prefix=/usr
listing "$root" | diff "$work/once" - || fail "a second installation changes the first"
multiarch=$(gcc -print-multiarch)
lib=$root/usr/lib/$multiarch
major=$(sed -n 's/^#define EET_ABI_MAJOR //p' engine/eet.h)
for path in bin/eet-convert include/eet/{eet,eet_ops,eet_types}.h "lib/$multiarch/libeet.a" \
    "lib/$multiarch/libeet.so" "lib/$multiarch/cmake/EET/EETConfig.cmake" \
    "lib/$multiarch/pkgconfig/eet.pc" share/man/man1/eet-run.1 share/man/man3/libeet.3 \
    share/man/man5/eet.5 share/bash-completion/completions/eet-run; do
    [ -s "$root/usr/$path" ] || fail "/usr/$path is not there"
done
[[ $(readlink "$lib/libeet.so.$major") =~ ^libeet\.so\.$major\.[0-9]+\.[0-9]+$ ]] ||
    fail "libeet.so.$major is $(readlink "$lib/libeet.so.$major")"
for program in "$root"/usr/bin/*; do
    ! readelf -d "$program" | grep -E 'R(UN)?PATH' || fail "$program has an RPATH"
    LD_LIBRARY_PATH=$lib "$program" --version >/dev/null || fail "$program does not run"
done
! grep -rlF -e "$work" "$root" || fail "these tell where they were built"
for page in "$root"/usr/share/man/man*/*; do
    grep -q '^\.TH .* 2023-11-14 ' "$page" || fail "$page has another date than SOURCE_DATE_EPOCH"
done
sysroot=$(PKG_CONFIG_SYSROOT_DIR=$root PKG_CONFIG_LIBDIR=$lib/pkgconfig pkg-config --cflags eet)
for flag in $sysroot; do
    [ -d "${flag#-I}" ] || fail "pkg-config in a sysroot gives $flag"
done

made uninstall DESTDIR="$root" prefix=/usr
listing "$root" | diff "$work/before" - || fail "make uninstall leaves or takes something"
! make uninstall DESTDIR="$root" prefix=/usr || fail "make uninstall removes what is not there"
grep -q "has installed nothing in" "$work/log" || fail "make uninstall says: $(cat "$work/log")"

# Another prefix and other folders; the commands find the library by themselves.
mkdir "$work/home"
made install prefix="$work/home/eet" libdir=lib64
rm -rf "$work/log"
mv "$work/home/eet" "$work/home/away"
"$work/home/away/bin/eet-run" --version >/dev/null || fail "a moved prefix does not run"
mv "$work/home/away" "$work/home/eet"
echo "mine" >"$work/home/eet/lib64/mine"
made uninstall PREFIX="$work/home/eet"
[ "$(cd "$work/home" && find . -type f)" = ./eet/lib64/mine ] || fail "uninstall took a file, or left one"

# Whoever may not write there is told so, before anything is built.
mkdir -m 0755 "$work/closed"
if [ "$(id -u)" = 0 ]; then
    chmod 0755 "$work"
    as_nobody=(setpriv --reuid=65534 --regid=65534 --clear-groups)
else
    chmod 0555 "$work/closed"
    as_nobody=()
fi
code=0
said=$(prefix="$work/closed/x" "${as_nobody[@]}" bash "$work/one/cmake/install.sh" install 2>&1) || code=$?
[[ $code = 1 && $said = *"closed cannot be written: choose another with prefix="* ]] ||
    fail "an installation where one may not write ends with $code: $said"

# A second copy elsewhere, inside another project, gives the same library.
cp -r "$work/one" "$work/two"
rm -rf "$work/two/build"
CFLAGS="-fstack-protector-strong -D_FORTIFY_SOURCE=2 " LDFLAGS="-Wl,-z,relro,-z,now " \
    cmake -G Ninja -S tests/install/embedded -B "$work/embedded" -DCMAKE_BUILD_TYPE=Release \
    -DEET_SOURCE="$work/two" >"$work/log"
cmake --build "$work/embedded" -j 2 >"$work/log" || fail "add_subdirectory: $(tail -n 20 "$work/log")"
made package
for file in libeet.so libeet.a; do
    cmp "$work/embedded/eet/lib/$file" "$work/one/build/install/lib/$file" ||
        fail "two builds give two $file"
done
converter=$work/one/build/install/bin
"$converter/eet-convert" -q fixtures/checkpoints/gpt2_tiny -o "$work/gpt2.eet" >/dev/null
wanted=$("$converter/eet-run" "$work/gpt2.eet" --ids 5,10,15 -n 4)
for program in hello hello_static; do
    [ "$("$work/embedded/$program" "$work/gpt2.eet")" = "$wanted" ] || fail "$program of the project around differs"
done

# The packages.
packages=("$work"/one/build/install/package/*.deb)
[ ${#packages[@]} = 3 ] || fail "${#packages[@]} packages, against 3"
lintian --fail-on error,warning --allow-root "${packages[@]}" || fail "lintian has complaints"
mkdir -p "$work/system/var/lib/dpkg/"{updates,info}
touch "$work/system/var/lib/dpkg/status"
if [ "$(id -u)" = 0 ]; then # with the tools' own dependencies left out
    dpkg --root="$work/system" --force-depends --force-not-root --force-script-chrootless --install \
        "${packages[@]}" >"$work/log" 2>&1 || fail "dpkg: $(cat "$work/log")"
else
    for package in "${packages[@]}"; do
        dpkg-deb -x "$package" "$work/system"
    done
fi
export LD_LIBRARY_PATH=$work/system/usr/lib/$multiarch
[ "$("$work/system/usr/bin/eet-run" "$work/gpt2.eet" --ids 5,10,15 -n 4)" = "$wanted" ] ||
    fail "the packaged eet-run says something else"
for library in libzip4 zlib1g libdeflate0 libjansson4 libhdf5-103-1 libssl3 libc6 "libeet-transformers$major"; do
    dpkg-deb -f "$work"/one/build/install/package/eet-tools_*.deb Depends | grep "\b$library\b" >/dev/null ||
        fail "eet-tools does not depend on $library"
done
if [ "$(id -u)" = 0 ]; then
    dpkg --root="$work/system" --force-not-root --force-script-chrootless --purge eet-tools \
        libeet-transformers-dev "libeet-transformers$major" >"$work/log" 2>&1 ||
        fail "dpkg: $(cat "$work/log")"
    ! find "$work/system/usr" -type f | grep . || fail "these are left by a purge"
fi
echo "install, uninstall and packages are fine"
