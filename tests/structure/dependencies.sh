#!/usr/bin/env bash
# dependencies.sh - one dependency, one file: each outside library is included by one product file.
source "$(dirname "$0")/lib.sh"

mapfile -t files < <(c_files format kernels engine converter)
looked_at "${#files[@]}"
for header in zip.h zlib.h libdeflate.h jansson.h xxhash.h 'openssl/[a-z0-9_]*.h' 'hdf5[a-z_]*.h' \
    cuda_runtime_api.h cuda.h cublasLt.h 'nvtx3/nvToolsExt.h'; do
    users=$(grep -lE "^[[:space:]]*#[[:space:]]*include[[:space:]]*[<\"]${header}[>\"]" \
        "${files[@]}" || true)
    if [ "$(grep -c . <<<"$users")" -gt 1 ]; then
        found "<$header> is included by more than one file:" $users
    fi
done

# What a product file may include besides: ISO C, POSIX, Linux, intrinsics.
system='(assert|ctype|dirent|errno|fcntl|float|immintrin|inttypes|limits|linux/[a-z]+|locale|math|pthread|sched|signal|stdalign|stdarg|stdatomic|stdbool|stddef|stdint|stdio|stdlib|string|sys/[a-z]+|time|unistd|getopt|libgen|endian|regex|strings|poll|ftw|termios|spawn|cpuid|xmmintrin|emmintrin|dlfcn|fnmatch)\.h'
known="(zip|zlib|libdeflate|jansson|xxhash|hdf5|cuda_runtime_api|cuda|cublasLt|nvtx3/nvToolsExt|openssl/[a-z0-9_]*)\.h"
while read -r line; do
    found "${line}: a dependency that docs/architecture.md does not have"
done < <(grep -nHE '^[[:space:]]*#[[:space:]]*include[[:space:]]*<' "${files[@]}" |
    grep -vE "<($system|$known)>" || true)
finish "${#files[@]} files"
