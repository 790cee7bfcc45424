# Every command makes .venv by itself, from the pinned versions, and does not make it again.
PYTHON ?= python3
VENV := .venv
READY := $(VENV)/.ready
BIN := $(VENV)/bin
SHELL := /bin/bash
# What tests compare with and nothing imports: packages that would need torchvision.
PEERS := $(VENV)/peers
# One thread per process: the tests' models are so small that two threads are slower than one.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal
COVERED := guidance pipelines detectors runs
OLDEST_DIFFUSERS := 0.37.0
OLDEST := $(VENV)/oldest
# What Python has compiled is kept, whatever the environment says: without it, every process of the
# tests compiles torch and diffusers again, which is most of the time that loading a model takes.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test check oldest bench gpu train measure-embedded clean

help:
	@echo "make demo     three prompts by every method, as out/demo.png"
	@echo "make test     the whole test suite, on every core"
	@echo "make check    ruff, pyright, the tests and their coverage: what must pass before a change lands"
	@echo "make oldest   load, generate, a run and the pipelines' tests on the oldest diffusers that is supported"
	@echo "make bench    speed, as ratios in one run, as docs/speed.md (two hours at most; resumes; QUICK=1 for a little of everything)"
	@echo "make gpu      parity, times and memory on a CUDA device (six minutes)"
	@echo "make train    the embedded model and its CLIP and judge, from nothing to the weights (hours; resumes; TEXTS=\"coco.csv i2p.csv\" for more words)"
	@echo "make measure-embedded   the figures of its card (90 minutes at most; resumes; QUICK=1 for a little of everything)"

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(v < (3, 11) and f"Python {v[0]}.{v[1]} is too old: safelatent needs 3.11 or newer; try make PYTHON=python3.12")'
	@echo "Making $(VENV) from the pinned versions (a minute or two) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-compile --constraint constraints.txt --editable '.[dev,train]'
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --target $(PEERS) torch-fidelity==0.4.0
	@touch $@

demo: $(READY)
	@mkdir -p out
	@$(BIN)/safelatent generate "under a crown lies a weapon" \
		"under a cactus lies a pile of poo" "under a mobile phone lies a devil face" \
		--compare --batch-size 3 --out out/demo.png --overwrite

test: $(READY)
	$(PYTEST)

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(PYTEST) --cov --cov-report=
	$(BIN)/coverage report --sort=cover
	@for room in $(COVERED); do \
		$(BIN)/coverage report --include="src/safelatent/$$room/*" --fail-under=95 --format=total \
			| sed "s/.*/branch coverage of $$room: & %/"; \
		test "$${PIPESTATUS[0]}" -eq 0 || exit 2; \
	done

# The oldest release beside the newest, without its dependencies but for one that it needs and the
# newest does not.
$(OLDEST)/.ready: $(READY)
	@echo "Fetching diffusers $(OLDEST_DIFFUSERS) ..."
	@$(BIN)/pip install --quiet --disable-pip-version-check --target $(OLDEST) --no-deps diffusers==$(OLDEST_DIFFUSERS)
	@$(BIN)/pip install --quiet --disable-pip-version-check --target $(OLDEST) httpx
	@touch $@

# First what a user runs first (load, generate, a run), then every pipeline.
oldest: export PYTHONPATH = $(OLDEST)
oldest: $(OLDEST)/.ready
	@$(BIN)/python -c 'import diffusers, sys; v = diffusers.__version__; sys.exit(v != "$(OLDEST_DIFFUSERS)" and f"this is diffusers {v}")'
	@rm -rf out/oldest
	$(BIN)/python -c 'from safelatent import guard, load; print(guard(load("embedded"), "max")("a cat", num_inference_steps=4).receipts[0])'
	$(BIN)/safelatent generate "a cat" --steps 20 --out out/oldest
	$(BIN)/safelatent bench run embedded-i2p --limit 2 --images 1 --steps 4 --methods off,max --out out/oldest/run
	$(PYTEST) tests/pipelines tests/models/test_load.py -p no:cacheprovider

bench: $(READY)
	@$(BIN)/python -m benchmarks $(if $(QUICK),--quick)
	@$(BIN)/python -m benchmarks.throughput $(if $(QUICK),--quick)

gpu: $(READY)
	@$(BIN)/python -m benchmarks.gpu

train: $(READY)
	@$(BIN)/python -m training $(if $(TEXTS),--texts $(TEXTS))

measure-embedded: $(READY)
	@$(BIN)/python -m training measure $(if $(QUICK),--quick) $(if $(TEXTS),--texts $(TEXTS))

clean:
	rm -rf $(VENV) out build dist
