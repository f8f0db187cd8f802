#!/usr/bin/env bash
# wheel.sh [FOLDER] - the Python package as manylinux wheels, built from a copy of the sources:
# installed into a fresh environment for each Python that is here, used from there alone, with no
# library of this Debian but glibc and zlib, and removed without a trace. FOLDER may have a
# libeet_cuda.so of these sources, for the second wheel. Skipped where pip cannot fetch its tools.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# shellcheck source=tests/install/lib.sh
source "$PWD/tests/install/lib.sh"
unset EET_LIBRARY EET_BIN EET_LIB EET_BACKEND_PATH PYTHONPATH CFLAGS LDFLAGS
export EET_PYTHON=${EET_PYTHON:-/usr/bin/python3} PYTHONDONTWRITEBYTECODE=1
checkpoints=$PWD/fixtures/checkpoints

mkdir "$work/source"
cp -r CMakeLists.txt LICENSE README.md pyproject.toml cmake converter docs engine format kernels \
    python_shim "$work/source"
find "$work/source" -name __pycache__ -prune -exec rm -rf {} +
status=0
wheel=$("$work/source/cmake/wheel.sh" "$work/dist" 2>"$work/log") || status=$?
if [ "$status" -eq 77 ]; then
    echo "skipped: $(tail -n 1 "$work/log")"
    exit 77
fi
[ "$status" -eq 0 ] || fail "the wheel cannot be built: $(tail -n 20 "$work/log")"
[[ $wheel == */eet-*-py3-none-manylinux_2_*_x86_64.whl && -f $wheel ]] ||
    fail "not one wheel for every Python 3 and Linux: $(ls "$work/dist")"
cuda=
if [ -e "${1:-}/libeet_cuda.so" ]; then
    cuda=$("$work/source/cmake/wheel.sh" "$work/dist" cuda "$1/libeet_cuda.so" 2>"$work/log") ||
        fail "the CUDA wheel cannot be built: $(tail -n 20 "$work/log")"
    [[ $cuda == */eet_cuda-*-py3-none-manylinux_2_*_x86_64.whl ]] || fail "odd name: $cuda"
fi
rm -rf "$work/source"
cd "$work"
export EET_CACHE=$work/cache

# Installs the wheels into an environment of its own, uses them, and removes them: PYTHON VENV-OPTION
try() {
    local use=$work/use
    rm -rf "$use" "$EET_CACHE"
    "$1" -m venv "${@:2}" "$use"
    listing "$use" >"$work/before"
    "$use/bin/pip" install --disable-pip-version-check -q --no-index --no-deps --no-compile \
        "$wheel" ${cuda:+"$cuda"} >"$work/log" 2>&1 || fail "it cannot be installed: $(cat "$work/log")"
    "$use/bin/python" - "$checkpoints" "$use" "$cuda" <<'PY' || fail "it does not work with $1"
import os
import sys
import eet
import eet.info
checkpoints, use, cuda = sys.argv[1:]
assert eet.library_path().startswith(use), eet.library_path()
eet.convert(checkpoints + "/gpt2_tiny", "gpt2.eet", force=True)
model = eet.load("gpt2.eet", device="cpu")
texts = eet.Generator(model).generate([1, 2, 3], max_new_tokens=4)
assert len(texts[0].token_ids) == 4, texts
assert eet.inspect("gpt2.eet")["format"]
backend = eet.info.describe()["cuda_backend"]
assert backend.startswith(use + "/lib") if cuda else backend == "none", backend
assert "eet_cuda" not in sys.modules
try:
    import numpy
except ImportError:
    sys.exit()
from eet.transformers import AutoModelForCausalLM
model = AutoModelForCausalLM.from_pretrained(checkpoints + "/gpt2_tiny", device="cpu")
assert model.generate([[1, 2, 3]], max_new_tokens=4).shape == (1, 7)
PY
    "$use/bin/python" -m eet.cache >"$work/log" 2>&1 || fail "eet.cache: $(cat "$work/log")"
    "$use/bin/python" -m eet.info >"$work/log" 2>&1 || fail "eet.info: $(cat "$work/log")"
    grep -q '^cuda_backend ' "$work/log" || fail "eet.info names no backend"
}

# A machine that has nothing of ours: glibc, zlib and what the wheel brought.
elsewhere() {
    local root=$work/root
    mkdir -p "$root/lib64" "$root/lib/x86_64-linux-gnu" "$root/proc"
    cp -L /lib64/ld-linux-x86-64.so.2 "$root/lib64"
    cp -L /lib/x86_64-linux-gnu/lib{c,m,z}.so.[0-9] "$root/lib/x86_64-linux-gnu"
    cp -r "$work"/use/lib/python3.*/site-packages/eet{,.libs} "$checkpoints/gpt2_tiny" "$root"
    # Is the static HDF5 right? Only the h5py of the system writes such a file.
    "$EET_PYTHON" - "$root" <<'PY' || fail "h5py writes no file"
import os, shutil, sys
import h5py, numpy
folder = sys.argv[1] + "/h5"
os.mkdir(folder)
shutil.copy(sys.argv[1] + "/gpt2_tiny/config.json", folder)
with h5py.File(folder + "/tf_model.h5", "w") as file:
    file.attrs["layer_names"] = numpy.array([b"nothing"])
    file.create_group("nothing").attrs["weight_names"] = numpy.array([], "S1")
PY
    # shellcheck disable=SC2016
    unshare -m sh -ec 'mount --bind /proc "$1/proc"
        chroot "$1" /eet/bin/eet-convert -o /gpt2.eet /gpt2_tiny
        chroot "$1" /eet/bin/eet-inspect --digest /gpt2.eet
        ! chroot "$1" /eet/bin/eet-convert --dry-run /h5' sh "$root" >"$work/log" 2>&1 ||
        fail "it needs more than glibc and zlib: $(cat "$work/log")"
    grep -q 'tf_model.h5' "$work/log" || fail "HDF5 was not read: $(cat "$work/log")"
}

# numpy comes from the system; nothing of this checkout is in the way.
try "$EET_PYTHON" --system-site-packages
if [ "$(id -u)" -eq 0 ]; then
    elsewhere
fi
"$work/use/bin/pip" uninstall --disable-pip-version-check -q -y eet ${cuda:+eet-cuda} >"$work/log" 2>&1
listing "$work/use" | diff "$work/before" - || fail "something is left"

versions=''
absent=''
for minor in 9 10 11 12 13; do
    found=''
    for python in "$HOME/.pyenv/versions/3.$minor".*/bin/python3 "$(command -v "python3.$minor")"; do
        if [ -x "$python" ] && "$python" -c 'import ctypes, venv' 2>/dev/null; then
            try "$python"
            versions+=" 3.$minor" found=1
            break
        fi
    done
    [ -n "$found" ] || absent+=" 3.$minor"
done
echo "$(basename "$wheel"), $(stat -c %s "$wheel") bytes: built, used, removed with $EET_PYTHON"
echo "used with Python${versions:- of no other version}${absent:+; not here, so not tried:$absent}"
if [ -n "$cuda" ]; then
    echo "$(basename "$cuda"), $(stat -c %s "$cuda") bytes, beside it"
else
    echo "no libeet_cuda.so here (no nvcc), so no wheel of it was made"
fi
