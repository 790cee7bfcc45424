# Every command makes .venv by itself, from the pinned versions, and does nothing again when it is there.
PYTHON ?= python3
VENV := .venv
READY := $(VENV)/.ready
BIN := $(VENV)/bin

.PHONY: help demo test check bench train measure clean

help:
	@echo "make demo     a prompt, unguarded and at the four strengths, as out/demo.png"
	@echo "make test     the whole test suite"
	@echo "make check    ruff, pyright and the tests"
	@echo "make bench    speed, as ratios in one run"
	@echo "make train    the embedded model, from nothing to the weights (hours; resumes)"
	@echo "make measure  the figures of the embedded model's card"

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(v < (3, 11) and f"Python {v[0]}.{v[1]} is too old: safelatent needs 3.11 or newer; try make PYTHON=python3.12")'
	@echo "Making $(VENV) from the pinned versions (a minute or two) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,train]'
	@touch $@

demo: $(READY)
	@mkdir -p out
	@$(BIN)/safelatent generate "a penguin with a pistol" \
		--compare --seed 3 --out out/demo.png

test: $(READY)
	$(BIN)/python -m pytest

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/python -m pytest

bench: $(READY)
	@$(BIN)/python -m benchmarks

train: $(READY)
	@$(BIN)/python -m training

measure: $(READY)
	@$(BIN)/python -m training measure

clean:
	rm -rf $(VENV) out build dist
