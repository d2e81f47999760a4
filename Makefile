# Each target makes .venv from the hashed requirements.txt when it is missing or stale.
PYTHON ?= python3.11
VENV := .venv
RUN := $(VENV)/bin/python
STAMP := $(VENV)/.requirements
EXPORT := $(VENV)/bin/uv export --quiet --format requirements-txt --all-groups --no-emit-project --no-header

.DEFAULT_GOAL := up
.PHONY: demo up test test-sqlite test-postgresql check bench lock

demo: $(STAMP)
	@exec $(RUN) manage.py up --demo

up: $(STAMP)
	@exec $(RUN) manage.py up

test: $(STAMP)
	$(RUN) tests/on_both_databases.py

test-sqlite: $(STAMP)
	DATABASE_URL= $(RUN) -m pytest

test-postgresql: $(STAMP)
	$(RUN) tests/with_postgresql.py $(RUN) -m pytest

check: $(STAMP)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/uv lock --check --quiet
	$(EXPORT) | diff requirements.txt -
	$(RUN) manage.py makemigrations --check --dry-run --verbosity 0

bench: $(STAMP)
	$(RUN) tests/benchmarks/run_all.py

# After a change of pyproject.toml: uv.lock is the source, requirements.txt its copy with hashes for pip.
lock: $(STAMP)
	$(VENV)/bin/uv lock
	$(EXPORT) > requirements.txt

$(STAMP): requirements.txt
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.txt
	@touch $(STAMP)
