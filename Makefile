# The two commands are `make build` and `make test`; the others are their parts.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SAMPLE := build/extracts/sample
RELEASE := $(or $(RELEASE_PATH),$(or $(RELEASE_DIR),build/releases)/ai_manufacturing.duckdb)
COMPILE := --quiet --generate-hashes --allow-unsafe --no-emit-index-url --no-emit-trusted-host --no-emit-find-links \
	--no-strip-extras --no-header --no-annotate
export GX_ANALYTICS_ENABLED := false
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: build test soak report serve query-page setup sample lint unit clean lock
.DEFAULT_GOAL := build

# A delivered set needs no sample.
build: $(VENV)/.run $(if $(EXTRACTS_DIR),,sample)
	dbt build

test: setup $(VENV)/.dev
	$(MAKE) lint
	pytest -n 2

# Three hundred fuzzed deliveries for each format, and whole builds of some of them.
soak: setup $(VENV)/.dev
	pytest -n 2 -m soak

# The site of the published release; where none is published, of a refresh. The query page is in it if it was bundled.
report: $(VENV)/.run $(VENV)/.site $(if $(EXTRACTS_DIR),,sample)
	test -e $(RELEASE) || ai-manufacturing refresh
	ai-manufacturing report --release $(RELEASE) --out site $(addprefix --catalogue ,$(wildcard target/static_index.html))

serve:
	$(BIN)/python -m http.server --bind 127.0.0.1 --directory site 8000

# DuckDB for the browser, out of npm; optional.
query-page:
	cd query_page && npm ci --no-audit --no-fund && npm run bundle

setup: $(VENV)/.run sample

# A generated sample belongs to the code and the seeds that generated it.
sample: $(SAMPLE)/extract_set.yml
$(SAMPLE)/extract_set.yml: $(VENV)/.run $(wildcard src/ai_manufacturing/sample/*.py) seeds/cities.csv seeds/industries.csv
	ai-manufacturing sample --out $(SAMPLE)
	touch $@

$(VENV)/.run: requirements/run.txt pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/run.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

$(VENV)/.site: requirements/site.txt $(VENV)/.run
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/site.txt
	touch $@

$(VENV)/.dev: requirements/dev.txt $(VENV)/.run
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	touch $@

lint:
	ruff check .
	ruff format --check .
	dbt parse --warn-error-options '{"error": ["Deprecations"]}' --quiet
	sqlfluff lint --processes 2 models tests

# Writes the locks; needs pip-tools. The files hold hashes and no addresses.
lock:
	pip-compile $(COMPILE) --extra dev --extra site -o requirements/dev.txt pyproject.toml
	mkdir -p build
	sed -nE 's/^([A-Za-z0-9._-]+)(\[[a-z,-]+\])?(==[^ ;]+).*/\1\3/p' requirements/dev.txt > build/constraints.txt
	pip-compile $(COMPILE) -c build/constraints.txt -o requirements/run.txt pyproject.toml
	pip-compile $(COMPILE) -c build/constraints.txt --extra site -o requirements/site.txt pyproject.toml

clean:
	rm -rf build
