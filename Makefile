# The front door of the project; the build itself is CMake's (CMakePresets.json).
# Every target installs the Debian packages that it needs and that are missing.

JOBS ?= $(shell nproc)
TIME ?= 60

.PHONY: help demo install uninstall package abi test bench gpu-pack gpu-check gpu-quick \
	gpu-bench coverage fuzz format format-check tidy clean

help: ## this list
	@echo "make TARGET, one of:"
	@sed -n 's/^\([a-z-]*\):.*## /  \1\t/p' Makefile | expand -t 18

define build
	@cmake --preset $(1) --log-level=WARNING
	@cmake --build --preset $(1) -j $(JOBS) -- --quiet
endef

demo: ## convert a trained BERT and a small GPT-2, and run both
	@.ci/install demo
	$(call build,demo)
	@bash tests/demo/demo.sh build/demo/bin

# These take prefix=, DESTDIR= and libdir= and the like: see cmake/install.sh.
install: ## build and install below prefix=/usr/local
	@.ci/install build
	@cmake/install.sh install

uninstall: ## remove what make install (same prefix) put there
	@cmake/install.sh uninstall

package: ## Debian packages, in build/install/package
	@.ci/install package
	@cmake/install.sh package

abi: ## keep the interface of eet.h as it is now (engine/abi)
	@.ci/install abi
	@engine/abi/abi.sh write

test: ## everything CI runs: all tests, sanitizers, structure, format
	@.ci/install test
	$(call build,release)
	$(call build,asan)
	$(call build,tsan)
	@mkdir -p build/all
	@printf 'subdirs("%s")\n' $(foreach preset,release asan tsan,$(CURDIR)/build/$(preset)) \
		> build/all/CTestTestfile.cmake
	@ctest --test-dir build/all -j $(JOBS) --output-on-failure --no-tests=error

bench: ## speed and memory of this machine against their bounds
	@.ci/install bench
	$(call build,demo)
	@bash tests/bench/bench.sh build/demo

# CARDS="80-real;86-real" packs for other cards than H100 and H200.
gpu-pack: ## build/gpu-pack, a folder that checks CUDA on a machine with a card
	@.ci/install gpu
	@cmake --preset gpu --log-level=WARNING $(if $(CARDS),-DEET_GPU_ARCHITECTURES="$(CARDS)")
	@cmake --build --preset gpu -j $(JOBS) -- --quiet

# These need what make gpu-pack made, and nothing else of this tree (docs/gpu-check.md), but for what
# Python adds to a call, which is measured in python_shim.
packed = test -x build/gpu-pack/gpu_check || { echo "run make gpu-pack first" >&2; exit 2; }

gpu-check: ## is CUDA right on this machine's card? At most ten minutes
	@$(packed)
	@build/gpu-pack/gpu_check --budget 600 --log build/gpu-check.jsonl

gpu-quick: ## the same in at most 90 seconds
	@$(packed)
	@build/gpu-pack/gpu_check --quick --budget 90 --log build/gpu-quick.jsonl

gpu-bench: ## speed of CUDA beside the strongest torch, goes on with what the last run left; what Python adds
	@$(packed)
	@python3 build/gpu-pack/bench/bench.py --log build/gpu-bench.jsonl --resume --budget 540
	@python3 build/gpu-pack/bench/report.py build/gpu-bench.jsonl
	@python3 tests/bench/python_overhead.py build/gpu-pack build/gpu-pack/models cuda

coverage: ## line coverage of the quick tests
	@.ci/install coverage
	$(call build,coverage)
	@ctest --test-dir build/coverage -j $(JOBS) --output-on-failure --no-tests=error
	@gcovr --root . --gcov-ignore-parse-errors --filter '(format|converter|engine|kernels)/' \
		build/coverage

fuzz: ## make fuzz TARGET=name TIME=seconds (without TARGET: the names)
	@.ci/install fuzz
	$(call build,fuzz)
	@bash tests/fuzz/fuzz.sh build/fuzz "$(TARGET)" "$(TIME)"

format: ## write every C file as .clang-format says
	@bash tests/structure/format.sh --write

format-check: ## say which C files are not as .clang-format says
	@.ci/install test
	@bash tests/structure/format.sh

tidy: ## clang-tidy and cppcheck
	@.ci/install tidy
	@cmake --preset dev --log-level=WARNING
	@bash tests/structure/tidy.sh build/dev

clean: ## remove everything that was built
	@rm -rf build
