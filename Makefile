# Each target stands alone on a fresh machine: it makes .venv if there is none.
# Needs python3 >= 3.11 and make, nothing else.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/installed

# One computing thread a process: raymia runs more processes instead, and numbers do not depend on
# the number of cores.
export OMP_NUM_THREADS := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: install quickstart test lint docs dist bench nightly audit

install: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("raymia needs Python 3.11 or newer; make PYTHON=python3.12, say" if sys.version_info < (3, 11) else 0)'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "installing raymia and what it needs into .venv (a few minutes the first time)"
	@$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[test]'
	@touch $@

quickstart: install
	$(BIN)/raymia run sweeps/quickstart.yaml

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The tests that start Ray come last, alone: they want the machine for themselves. pytest's 5 is
# "there are none". The guard compares CPU times of ways that alternate in one process.
test: lint dist
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	$(BIN)/pytest -n auto -m "not cluster and not nightly"
	$(BIN)/python benchmarks/training.py --guard
	$(BIN)/pytest -m "cluster and not nightly" || [ $$? -eq 5 ]

# What could be published, in build/dist: one step away, `twine upload`.
dist: install
	rm -rf build/dist build/lib && mkdir -p build
	$(BIN)/python -m build --outdir build/dist . > build/dist.log || { cat build/dist.log; exit 1; }
	$(BIN)/twine check --strict build/dist/*

docs: install
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	$(BIN)/pytest tests/test_docs.py tests/test_site.py

bench: install
	@for file in benchmarks/*.py; do [ ! -e "$$file" ] || { echo "$$file" && $(BIN)/python "$$file"; } || exit 1; done

# Hours. All of it is tried; what failed is named at the end.
nightly: install audit
	@failed=; for job in "pytest -m nightly" "python tests/chaos/walk.py --kills 1000" \
	  "python tests/nightly/kills.py" "python tests/nightly/simulate.py" "python tests/nightly/stranger.py"; do \
	  echo "== $$job"; $(BIN)/$$job || failed="$$failed; $$job"; \
	done; [ -z "$$failed" ] || { echo "failed$$failed"; exit 1; }

# What raymia stands on, as build/sbom.json, and whether a weakness of it is known. The tools have an
# environment of their own: they are none of it.
audit: install
	@test -x .venv/audit/bin/pip-audit || { $(BIN)/python -m venv .venv/audit && .venv/audit/bin/pip install --quiet 'pip-audit>=2.7' 'cyclonedx-bom>=5'; }
	$(BIN)/python tests/nightly/dependencies.py .venv/audit/bin build
