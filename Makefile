# The door to picofed: `make help` lists what is behind it.
SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CORE := $(wildcard native/src/*.[ch] native/include/*.h native/bindings/cffi_build.py)
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help demo test hil check lint format setup natmods wheel bench fuzz clean distclean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.demo ## eight emulated watches learn together, privately; report in build/demo/
	@$(BIN)/picofed demo $(DEMO)

test: $(VENV)/.test lint ## every test, with all its set-up
	@$(BIN)/python benchmarks/m0_cycles.py --check
	@$(BIN)/python -m pytest --numprocesses auto --dist loadscope --no-loadscope-reorder $(TESTS)

hil: $(VENV)/.test ## hardware in the loop: the tests that drive boards, on every emulated one
	@$(BIN)/python -m pytest --numprocesses auto --dist loadscope --no-loadscope-reorder tests/hil $(TESTS)

check: $(VENV)/.test lint ## the quick part: lint, types, and the tests that start no board
	@$(BIN)/python -m pytest --numprocesses auto --dist loadscope --no-loadscope-reorder -m "not slow" tests/native tests/host

lint: $(VENV)/.test ## ruff, mypy, clang-format
	@$(BIN)/ruff check host firmware tests benchmarks native
	@$(BIN)/ruff format --check host firmware tests benchmarks native
	@$(BIN)/mypy
	@$(BIN)/clang-format --dry-run --Werror $$(git ls-files '*.c' '*.h')

format: $(VENV)/.test ## rewrite Python and C in the project's style
	@$(BIN)/ruff check --fix host firmware tests benchmarks native
	@$(BIN)/ruff format host firmware tests benchmarks native
	@$(BIN)/clang-format -i $$(git ls-files '*.c' '*.h')

setup: $(VENV)/.demo ## the Python environment with the compiled core, and nothing else

natmods: $(VENV)/.demo ## native modules for MicroPython, for every architecture whose compiler is here
	@$(BIN)/picofed build

wheel: $(VENV)/.demo ## a package that carries firmware and native modules for every architecture, in dist/
	@$(BIN)/picofed build --arch x64 --arch armv6m --arch armv7m --arch armv7emsp --arch rv32imc --arch xtensawin
	@$(BIN)/pip wheel --verbose --no-deps --wheel-dir dist . >build/wheel.log 2>&1 || { cat build/wheel.log; exit 1; }
	@grep -o 'picofed: native modules: .*' build/wheel.log

bench: $(VENV)/.test ## cycles on the Cortex-M0+ model: rewrites benchmarks/m0_cycles.md
	@$(BIN)/python benchmarks/m0_cycles.py

fuzz: $(VENV)/.test ## a minute of libFuzzer on each parser in C, then hypothesis on those in Python: half an hour
	@$(MAKE) --no-print-directory --keep-going -C native/fuzz MONOCYPHER_DIR="$$($(BIN)/python -c \
	    'from picofed.toolchain.sources import monocypher_source; print(monocypher_source())')" fuzz
	@PICOFED_FUZZ_EXAMPLES=$${EXAMPLES:-10000} $(BIN)/python -m pytest tests/host/test_fuzz_parsers.py tests/host/test_fuzz_board_parsers.py

clean: ## remove what was built here
	rm -rf build $(VENV)/.demo $(VENV)/.test

distclean: clean ## the environment too (the download cache stays)
	rm -rf $(VENV)

$(BIN)/python:
	@scripts/system-packages demo
	@$(PYTHON) -m venv $(VENV)

# Editable, so that only a changed core or a changed dependency installs again.
$(VENV)/.demo: pyproject.toml $(wildcard setup.py) $(CORE) scripts/system-packages | $(BIN)/python
	@scripts/system-packages demo
	@echo "picofed: installing the host package and compiling its core"
	@$(BIN)/pip install --quiet --editable '.[build]'
	@touch $@

$(VENV)/.test: $(VENV)/.demo
	@scripts/system-packages test
	@echo "picofed: installing what the tests need"
	@$(BIN)/pip install --quiet --editable '.[build,test]'
	@touch $@
