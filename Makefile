# Every target does its own set-up in .venv and is quick to repeat.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DOCS_STAMP := $(VENV)/.installed_docs
# Pin the CPU threads of every library, so that two workers do not fight over two cores.
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help demo test test-all check docs format clean
help:
	@echo "make demo      set up, then collect -> train -> evaluate -> control (about 10 minutes)"
	@echo "make test      set up, then the fast tests"
	@echo "make test-all  set up, then every test, the slow ones too"
	@echo "make check     set up, then ruff, format and mypy --strict"
	@echo "make docs      set up, then the manual as a site in build/site; fails on a dead link"
	@echo "make format    apply ruff's formatting and safe fixes"

$(STAMP): pyproject.toml setup.py constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --constraint constraints.txt --editable '.[dev]'
	@touch $(STAMP)

$(DOCS_STAMP): $(STAMP)
	$(BIN)/pip install --constraint constraints.txt --editable '.[docs]'
	@touch $(DOCS_STAMP)

demo: $(STAMP)
	$(BIN)/kinoise demo

test: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadfile

test-all: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadfile -m ''

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(DOCS_STAMP)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --clean
	@echo "the manual: build/site/index.html; with its search: python -m http.server -d build/site"

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .pytest_cache .ruff_cache
