# `make build` and `make test` are the main targets; most others are steps of these.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
BOUNCER := .venv-bouncer
SPARK := .venv-spark
SAMPLE := build/extracts/sample
QUERY_PAGE := build/query_page/duckdb.wasm
WAREHOUSE := $(or $(WAREHOUSE_PATH),build/warehouse.duckdb)
# Number of test processes: one per core, but at most four, because each build uses two cores.
TESTERS := $(shell cores=$$(nproc 2> /dev/null || getconf _NPROCESSORS_ONLN); echo $$((cores > 4 ? 4 : cores)))
RELEASE := $(or $(RELEASE_PATH),$(or $(RELEASE_DIR),build/releases)/ai_manufacturing.duckdb)
COMPILE := --quiet --generate-hashes --allow-unsafe --no-emit-index-url --no-emit-trusted-host --no-emit-find-links \
	--no-strip-extras --no-header --no-annotate
export GX_ANALYTICS_ENABLED := false
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: help build test test-elsewhere soak bench report package picture serve query-page spark setup sample lint lint-python lint-sql
.PHONY: lint-sql-changed lint-prose pytest parse catalogue queries clean lock
.DEFAULT_GOAL := build

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' Makefile | sed -E 's/:.*## /\t/' | expand -t 14

# Delivered files replace the sample. Tests that reuse the warehouse compare its stamp with the current inputs. The
# sample is built with --full-refresh, because tables cached by file would otherwise read new files only.
build: $(VENV)/.run $(if $(EXTRACTS_DIR),,sample) ## the warehouse of EXTRACTS_DIR, or of the synthetic sample
	mkdir -p build $(dir $(WAREHOUSE))
	rm -f $(WAREHOUSE).stamp
	python -m tests.stamp > build/stamp
	dbt build $(if $(EXTRACTS_DIR),,--full-refresh)
	cp $(or $(DBT_TARGET_PATH),target)/manifest.json $(WAREHOUSE).manifest.json
	mv build/stamp $(WAREHOUSE).stamp

# Linting runs in parallel with the tests, because alone it would leave a core idle.
test: setup $(VENV)/.dev ## lint and tests
	$(MAKE) --jobs 3 lint-python lint-sql-changed lint-prose pytest

pytest: $(VENV)/.dev
	pytest -n $(TESTERS)

# Tests must not depend on their order, the locale, the time zone or files outside the clone.
test-elsewhere: setup $(VENV)/.dev ## the quick tests in a random order, in another locale and time zone, without public files
	LC_ALL=C TZ=Asia/Kolkata PUBLIC_EXTRACTS=/nonexistent REGISTER_EXTRACTS=/nonexistent \
		pytest -n $(TESTERS) --shuffle=$(or $(SEED),$(shell date +%s)) $(TESTS)

# Tests of Spark need Java, tests of the site Chromium, and tests of the query page npm. Without these they are skipped,
# with the reason. LONG runs long tests only, as a supplement to `make test`.
soak: setup $(VENV)/.soak $(if $(shell command -v java),spark) $(BOUNCER)/.done ## lint and all tests; LONG=12 runs twelve minutes of the long ones
	$(MAKE) --jobs 2 lint
	pytest -n $(TESTERS) -m $(if $(LONG),soak --long=$(LONG),"soak or not soak" --record)

# Needs an idle machine. Spark needs Java, and the query page npm and Chromium; sections that cannot run are skipped.
bench: setup $(VENV)/.soak $(if $(shell command -v java),spark) ## how fast it is beside its peers, in benchmarks/README.md
	python -m benchmarks

# The query page is included if npm is installed. Without a network the rest of the site is still built.
report: $(VENV)/.site $(if $(shell command -v npm),$(QUERY_PAGE)) ## the site of the published release, or else of the warehouse of `make build`, in site/
	test -e $(RELEASE) || test -e $(WAREHOUSE) || $(MAKE) build
	ai-manufacturing report --out site

# A package needs a published release.
package: $(VENV)/.site ## a replication package of the published release, or else of a new one, in build/
	test -e $(RELEASE) || ai-manufacturing refresh
	ai-manufacturing replication-package

picture: $(VENV)/.site ## the picture of the README, of the sample and of real data (docs/real_data.md)
	python -m docs.picture build/warehouse.duckdb build/public/warehouse.duckdb

serve: ## the site at port 8000, compressed and in parts
	$(BIN)/python -m ai_manufacturing.site.serve site 8000

query-page: $(QUERY_PAGE) ## DuckDB for the browser, bundled with npm; report does it too
	test -e $(QUERY_PAGE)

# Bundling writes this file last, so the other files of the bundle exist as well.
$(QUERY_PAGE): query_page/duckdb.js query_page/package.json query_page/package-lock.json
	-cd query_page && npm ci --no-audit --no-fund --fetch-retries=1 && npm run bundle

setup: $(VENV)/.run sample ## the environment and the synthetic sample

# The sample is generated again when its code or its seeds change.
sample: $(SAMPLE)/extract_set.yml
$(SAMPLE)/extract_set.yml: $(VENV)/.run $(wildcard src/ai_manufacturing/paper/synthetic/*.py) seeds/cities.csv seeds/industries.csv dbt_project.yml
	ai-manufacturing synthetic --out $(SAMPLE)
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

# Further packages of the long tests: a browser driver, and libraries that verify estimates by a second route.
$(VENV)/.soak: requirements/soak.txt $(VENV)/.dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/soak.txt
	touch $@

# Spark has a separate environment: Great Expectations would import pyspark, which can kill the process.
spark: $(SPARK)/.done ## the environment that counts registers on Spark
$(SPARK)/.done: requirements/spark.txt pyproject.toml
	test -x $(SPARK)/bin/python || $(PYTHON) -m venv $(SPARK)
	$(SPARK)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/spark.txt
	$(SPARK)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

# dbt-bouncer has a separate environment, because it needs another version of DuckDB.
$(BOUNCER)/.done: requirements/bouncer.txt
	test -x $(BOUNCER)/bin/python || $(PYTHON) -m venv $(BOUNCER)
	$(BOUNCER)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bouncer.txt
	touch $@

lint: lint-python lint-sql lint-prose ## check the code: ruff, mypy; dbt parse, dbt-bouncer, sqlfluff; and new prose

# Merge base with the main branch, or an empty tree if there is no such branch.
BASE = $$(git merge-base HEAD origin/main 2> /dev/null || git merge-base HEAD main 2> /dev/null || git hash-object -t tree /dev/null)

# Checks lines that differ from the main branch, or on that branch from the previous commit.
lint-prose: $(VENV)/.dev
	base=$(BASE); test $$base != $$(git rev-parse HEAD) || base=$$(git rev-parse --verify --quiet HEAD~1 || echo HEAD); \
	python -m tests.prose $$base

lint-python: $(VENV)/.dev
	ruff check .
	ruff format --check .
	mypy

lint-sql: parse $(BOUNCER)/.done
	$(BOUNCER)/bin/dbt-bouncer run
	sqlfluff lint --processes 2 models python_models tests
	sqlfluff lint --processes 2 --templater placeholder src

# sqlfluff needs two minutes for all files, so only files that differ from the main branch are checked.
lint-sql-changed: parse $(BOUNCER)/.done
	$(BOUNCER)/bin/dbt-bouncer run
	base=$(BASE); \
	changed() { git diff --name-only --diff-filter=d $$base -- "$$@"; git ls-files --others --exclude-standard -- "$$@"; }; \
	changed '*.sql' ':!macros' ':!src' | xargs -r sqlfluff lint && \
	changed 'src/*.sql' | xargs -r sqlfluff lint --templater placeholder

parse: $(VENV)/.dev
	dbt parse --warn-error-options '{"error": ["Deprecations"]}' --quiet

# Uses the latest warehouse. `make report` leaves the page in the site.
catalogue: $(VENV)/.run ## dbt's pages on all models, in site/catalogue.html
	ai-manufacturing catalogue

# Uses the latest warehouse.
queries: $(VENV)/.run ## the answers in docs/questions.md
	ai-manufacturing queries --database $(or $(WAREHOUSE_PATH),build/warehouse.duckdb)

# Each lock file is complete: dagster.txt and spark.txt include the packages that run the warehouse. The files contain
# hashes but no index addresses.
lock: ## requirement files with hashes; needs pip-tools
	pip-compile $(COMPILE) --extra dev --extra site --extra mcp --extra soak -o requirements/soak.txt pyproject.toml
	mkdir -p build
	sed -nE 's/^([A-Za-z0-9._-]+)(\[[a-z,-]+\])?(==[^ ;]+).*/\1\3/p' requirements/soak.txt > build/constraints.txt
	pip-compile $(COMPILE) -c build/constraints.txt --extra dev --extra site -o requirements/dev.txt pyproject.toml
	pip-compile $(COMPILE) -c build/constraints.txt -o requirements/run.txt pyproject.toml
	pip-compile $(COMPILE) -c build/constraints.txt --extra dagster -o requirements/dagster.txt pyproject.toml
	pip-compile $(COMPILE) -o requirements/bouncer.txt requirements/bouncer.in
	pip-compile $(COMPILE) -c build/constraints.txt --extra spark -o requirements/spark.txt pyproject.toml
	pip-compile $(COMPILE) -c build/constraints.txt --extra site -o requirements/site.txt pyproject.toml

clean: ## remove build, with the landing store and releases in it
	rm -rf build
