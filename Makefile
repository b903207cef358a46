# Every target builds its own .venv, once, from pyproject.toml and the pins of constraints.txt.
# `make PYTHON=python3.13 test` takes another interpreter (after `make clean`).

VENV := .venv
PY := $(VENV)/bin/python
READY := $(VENV)/.ready

# python3.11 if it answers, else python3, whose version is asked when the environment is made.
PYTHON ?= $(shell python3.11 -c 'print("python3.11")' 2>/dev/null || echo python3)

# The tests start hundreds of interpreters: each would compile the library anew.
export PYTHONDONTWRITEBYTECODE :=

# A process for each core, two at least; who has nothing left to do takes from another.
BESIDE := -n auto --dist worksteal

# How many `make torture` kills, and on which store: sqlite or postgres.
KILLS ?= 1000
STORE ?= sqlite

.DEFAULT_GOAL := help
.PHONY: help demo test check deploy-check docs types wheel pythons lowest coverage browser torture bench fmt promises snapshots screenshots notebook clean

help: ## say what can be made
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

demo: $(READY) ## measure the standard library's files; stop it, and the next one goes on from there
	$(PY) examples/stdlib_files.py --write build/events.jsonl
	$(VENV)/bin/lionpride run examples/stdlib_files.py:MeasureFile \
		--input build/events.jsonl --output build/results.jsonl --timeline build/run.svg \
		--store build/demo.db --fresh-if-done \
		--concurrency 16 --capacity 500 --refresh 1
	@echo "What ran when: open build/run.svg in a browser. Each event: $(VENV)/bin/lionpride ui --store build/demo.db"

test: $(READY) browser ## run the tests
	$(PY) -m pytest -q $(BESIDE)

check: $(READY) browser wheel docs ## the whole gate: format, lint, types, layers, the wheel, the site, tests
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	$(MAKE) --no-print-directory types
	$(VENV)/bin/lint-imports
	$(PY) -m pytest -q $(BESIDE)

types: $(READY) ## check the types: the package strictly, the tests less so
	$(PY) -m mypy
	$(PY) -m mypy --config-file tests/mypy.ini

deploy-check: $(READY) ## check the files in deploy/ by the tools for them; a missing tool is reported
	$(PY) -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --group deploy
	$(PY) -m pytest -q -rs tests/deploy

docs: $(READY) ## build the documentation site into build/site; a broken link is an error
	NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict
	@echo "Open build/site/index.html. The search needs a server: $(PY) -m http.server --directory build/site"

wheel: $(READY) ## build the wheel and use it in an empty environment
	$(PY) tools/try_wheel.py

pythons: $(READY) browser ## run the tests on each Python from 3.11 to 3.14 that is here
	$(PY) tools/test_pythons.py

lowest: $(READY) browser ## run the tests with the oldest dependencies that pyproject.toml allows
	$(PY) tools/test_pythons.py --lowest

coverage: $(READY) browser ## run the tests and measure the lines that they run, in subprocesses too
	rm -rf build/coverage
	$(PY) -m pytest -q $(BESIDE) --cov --cov-report=html --cov-report=term:skip-covered

browser: ## install Chromium for the tests of the page, where that can be done
	@sh tools/install_chromium.sh

torture: $(READY) ## kill workers on one STORE (sqlite) KILLS times (1000): nothing may be lost
	PYTHONPATH=tests $(PY) -m crash.torture --store $(STORE) --kills $(KILLS)

bench: $(READY) ## measure against the peers: one table
	$(PY) -m benchmarks

fmt: $(READY) ## format, and mend what the linter can mend
	$(PY) -m ruff format .
	$(PY) -m ruff check --fix .

promises: $(READY) ## write the tables of promises in the documents, from docs/promises.toml
	$(PY) tools/promises.py

snapshots: $(READY) ## renew the texts of the command line and of errors that tests compare
	$(PY) -m pytest -q $(BESIDE) --snapshot-update tests/cli tests/test_errors.py

screenshots: $(READY) browser ## make the pictures of the documents
	$(PY) tools/screenshots.py

notebook: $(READY) ## build and run examples/processor_executor.ipynb from the spec
	$(PY) tools/build_notebook.py

clean: ## remove what make and the tools made
	rm -rf $(VENV) .venv-* build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# pip installs dependency groups since 25.1; Python 3.11 brings an older one.
# Both variables are said because pip reads the pins of a build from the one or the other,
# depending on its version. Their values stay relative: pip would split a path at its spaces.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed: make PYTHON=... $(MAKECMDGOALS)"; exit 1; }
	@echo "Making $(VENV) with all that the tests need, some 500 MB, once: a minute or more."
	$(PYTHON) -m venv --clear $(VENV)
	$(PY) -m pip install --quiet --disable-pip-version-check --constraint constraints.txt pip
	PIP_CONSTRAINT=constraints.txt PIP_BUILD_CONSTRAINT=constraints.txt \
		$(PY) -m pip install --quiet --disable-pip-version-check --group dev \
		--editable '.[cli,cron,fastapi,llm,metrics,otel,postgres,web]'
	@touch $@
