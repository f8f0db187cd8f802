#!/usr/bin/env bash
# wheel.sh - the Python package as a wheel: built from a copy of the sources, installed into a fresh
# environment, used from there alone, and removed without a trace. Skipped where pip cannot fetch
# scikit-build-core.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# shellcheck source=tests/install/lib.sh
source "$PWD/tests/install/lib.sh"
unset EET_LIBRARY EET_BIN EET_LIB EET_BACKEND_PATH PYTHONPATH CFLAGS LDFLAGS
python=${EET_PYTHON:-/usr/bin/python3}

"$python" -m venv "$work/build"
if ! "$work/build/bin/pip" install --disable-pip-version-check --no-input -q --retries 1 \
    --timeout 20 scikit-build-core==1.1.2 ninja >"$work/log" 2>&1; then
    tail -n 3 "$work/log"
    echo "skipped: pip cannot fetch scikit-build-core (no registry?)"
    exit 77
fi
mkdir "$work/source"
cp -r CMakeLists.txt LICENSE README.md pyproject.toml cmake converter docs engine format kernels \
    python_shim "$work/source"
find "$work/source" -name __pycache__ -prune -exec rm -rf {} +
(cd "$work/source" && PATH="$work/build/bin:$PATH" SOURCE_DATE_EPOCH=1700000000 \
    pip wheel --disable-pip-version-check -q --no-build-isolation --no-deps -w "$work/dist" . \
    >"$work/log" 2>&1) || fail "the wheel cannot be built: $(tail -n 20 "$work/log")"
wheel=$(echo "$work"/dist/eet-*-py3-none-linux_*.whl)
[ -f "$wheel" ] || fail "not one wheel for every Python 3: $(ls "$work/dist")"
rm -rf "$work/source"

# numpy comes from the system; nothing of this checkout is in the way.
"$python" -m venv --system-site-packages "$work/use"
listing "$work/use" >"$work/before"
"$work/use/bin/pip" install --disable-pip-version-check -q --no-index --no-deps \
    --no-compile "$wheel" >"$work/log" 2>&1 || fail "it cannot be installed: $(cat "$work/log")"
checkpoints=$PWD/fixtures/checkpoints
cd "$work"
export EET_CACHE=$work/cache PYTHONDONTWRITEBYTECODE=1
"$work/use/bin/python" - "$checkpoints" "$work/use" <<'PY' || fail "it does not work"
import sys
import eet
from eet.transformers import AutoModelForCausalLM
assert eet.library_path().startswith(sys.argv[2]), eet.library_path()
model = AutoModelForCausalLM.from_pretrained(sys.argv[1] + "/gpt2_tiny", device="cpu")
assert model.generate([[1, 2, 3]], max_new_tokens=4).shape == (1, 7)
assert eet.inspect(eet.cache.entries()[0].path)["format"]
PY
for module in eet.info eet.cache; do
    "$work/use/bin/python" -m "$module" >"$work/log" 2>&1 || fail "$module: $(cat "$work/log")"
    [ -s "$work/log" ] || fail "$module says nothing"
done
"$work/use/bin/pip" uninstall --disable-pip-version-check -q -y eet >"$work/log" 2>&1
listing "$work/use" | diff "$work/before" - || fail "something is left"
echo "a wheel of $(stat -c %s "$wheel") bytes: built, used, removed"
