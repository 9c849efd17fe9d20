# Thin names over the real commands. `make` alone lists them.

PYTHON ?= $(shell for p in python3.11 python3 python3.12 python3.13; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check

.PHONY: help demo test check static serve format bench compat

.SECONDARY: $(VENV)/.installed-demo $(VENV)/.installed-dev

unexport PYTHONDONTWRITEBYTECODE  # what is compiled once is not compiled again by each of the many processes of a test

help:
	@echo "make demo    train on handwritten digits and look at the result (demo-output/)"
	@echo "make serve   the whole service on 127.0.0.1:8080"
	@echo "make test    every test, with real servers and processes"
	@echo "make check   formatting, lint, types, import rules, migrations; changes nothing"
	@echo "make format  repairs formatting and what lint can repair"
	@echo "make bench   the scripts in benchmarks/, or those in BENCHES (docs/benchmarks.md)"
	@echo "make compat  the Node SDK, LangChain and LlamaIndex, in environments of their own"

demo: $(VENV)/.compiled-demo
	$(BIN)/rootstock demo

serve: $(VENV)/.compiled-demo
	$(BIN)/rootstock serve

test: $(VENV)/.compiled-dev
	$(BIN)/python -m pytest --numprocesses auto --dist worksteal

check: static
	$(BIN)/python -m pytest -q tests/integration/test_migrations.py

static: $(VENV)/.installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

BENCHES ?= "codes.py" "tables.py" "features.py" "texts.py" "few_labels.py" "audio.py" "synthesis.py" "detection.py" "translation.py" "training.py" "loader.py" "serving.py" "stages.py" \
	"sentences.py" "text_serving.py" "ingest.py rates" "ingest.py memory" "ingest.py uploads" "ingest.py large" "overload.py overload" \
	"overload.py memory" "neighbours.py workers" "neighbours.py training" "strangers.py" \
	"bulk.py"

bench: $(VENV)/.compiled-dev
	for bench in $(BENCHES); do echo "== $$bench"; $(BIN)/python benchmarks/$$bench || exit 1; done

compat: $(VENV)/.compiled-dev
	$(BIN)/python -m tests.compat.check

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Rootstock needs Python 3.11 or newer; set PYTHON=/path/to/it" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed-%: pyproject.toml | $(BIN)/python
	$(PIP) install --no-compile --editable ".[$*]"
	@touch $@

$(VENV)/.compiled-%: $(VENV)/.installed-%  # on all cores, where pip takes one, and without the packages' own tests
	@$(BIN)/python -m compileall -q -j 0 -x '/tests?/' $(VENV)/lib >/dev/null 2>&1 || true
	@touch $@
