# make run: simulated galaxies, end to end.   make test: lint, types and tests.
PYTHON ?= python3
VENV ?= .venv
# Further words for pip, as --no-compile.
PIP_FLAGS ?=
BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_FLAGS) -c constraints.txt

.PHONY: run test lint types tests tests-here tests-on-slurm test-thorough docs clean

run: $(VENV)/.train
	$(BIN)/morphoscope run recipes/simulated.toml

test: lint types tests

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.test
	$(BIN)/mypy

# Those on Slurm mostly wait: they run beside the others.
tests: $(VENV)/.test
	$(MAKE) --no-print-directory -j 2 tests-here tests-on-slurm

tests-here: $(VENV)/.test
	$(BIN)/python -m pytest -n 3 --dist loadfile -m "not thorough" --ignore tests/on_slurm

tests-on-slurm: $(VENV)/.test
	$(BIN)/python -m pytest -m "not thorough" tests/on_slurm

# What takes long and says little that the others do not.
test-thorough: $(VENV)/.test
	$(BIN)/python -m pytest -m thorough

# The pages that are made from the code.
docs: $(VENV)/.test
	$(BIN)/morphoscope settings > docs/settings.md
	{ sed '/^| setting/,$$d' docs/server-settings.md; $(BIN)/morphoscope settings serve; } > docs/.made && \
	  mv docs/.made docs/server-settings.md
	{ sed '/^| setting/,$$d' docs/campaign-settings.md; $(BIN)/morphoscope settings label; } > docs/.made && \
	  mv docs/.made docs/campaign-settings.md

clean:
	rm -rf $(VENV) runs build dist .mypy_cache .ruff_cache .pytest_cache

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; set PYTHON=/path/to/python3.11" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.train: $(VENV)/bin/python pyproject.toml constraints.txt
	$(PIP_INSTALL) -e '.[train]'
	@touch $@

$(VENV)/.test: $(VENV)/bin/python pyproject.toml constraints.txt
	$(PIP_INSTALL) -e '.[train,test,pretrained,serve,cluster]'
	@touch $(VENV)/.train $@
