#!/usr/bin/env bash
# spills.sh NVCC COMMANDS FLAG FILE... - the build fails when a kernel of a hot FILE (kernels/cuda)
# spills registers or has a stack frame: each is compiled with FLAG, and FLAG tells such kernels from
# others.
nvcc=$1 commands=$2 flag=$3
shift 3
source "$(dirname "$0")/lib.sh"

looked_at $#
for file in "$@"; do
    python3 - "$commands" "kernels/cuda/$file" "$flag" <<'EOF' || found "kernels/cuda/$file is compiled without $flag"
import json, sys
path, file, flag = sys.argv[1:]
made = [one["command"] for one in json.load(open(path)) # not the Debug build, which never runs
        if one["file"].endswith(file) and "/eet_cuda.dir/" in one["command"]]
sys.exit(not made or any(flag not in command for command in made))
EOF
done

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
compile() { # kernel: its text
    echo "$1" >"$work/kernel.cu"
    "$nvcc" -cubin -arch=sm_80 "$flag" -o "$work/kernel.cubin" "$work/kernel.cu" >"$work/said" 2>&1
}
compile '__global__ void fine(float *x) { x[threadIdx.x] *= 2; }' ||
    found "a kernel without spills is refused: $(cat "$work/said")"
# A number of an array that is only known at run time: the array is in memory.
if compile '__global__ void frame(float *x, int n) {
    float kept[64] = {};
    for (int i = 0; i < n; ++i) kept[(int)x[i] % 64] += x[i + n];
    x[0] = kept[n] + kept[n / 2];
}' || ! grep -qi 'local memory' "$work/said"; then
    found "a stack frame is let through: $(cat "$work/said")"
fi
if compile '__global__ void __launch_bounds__(1024, 2) spills(float *x) {
    float kept[64];
#pragma unroll
    for (int i = 0; i < 64; ++i) kept[i] = x[i * 1024 + threadIdx.x];
    __syncthreads();
#pragma unroll
    for (int i = 0; i < 64; ++i) x[(63 - i) * 1024 + threadIdx.x] = kept[i] * kept[(i * 7) % 64];
}' || ! grep -qi 'spill' "$work/said"; then
    found "a spill is let through: $(cat "$work/said")"
fi
finish "$# files of hot kernels"
