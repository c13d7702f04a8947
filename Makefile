PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
WORKSPACE := workspace/demo
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_CONSTRAINT := $(CURDIR)/constraints.txt

.PHONY: demo test slow endurance lint format dev bench spark clean constraints licences audit

demo: $(VENV)/ready  ## A simulated county, from raw extracts to a release.
	$(BIN)/familiar-faces demo --workspace $(WORKSPACE)

test: lint  ## Every check there is.
	$(BIN)/pytest -n 2 --dist loadgroup

slow: $(VENV)/ready  ## The tests marked slow alone; those on a Spark cluster of two workers among them.
	$(BIN)/pytest -n 2 --dist loadgroup -m slow

endurance: $(VENV)/ready  ## What takes half an hour: kill -9 after every step and at 50 moments of a run; a Spark cluster.
	$(BIN)/pytest -n 2 --dist loadgroup -m endurance

lint: $(VENV)/ready  ## Style, types, import contracts, SQL.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/sqlfluff lint sql

format: $(VENV)/ready
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/sqlfluff fix sql

dev: $(VENV)/ready  ## The Dagster UI on the sample county.
	test -e $(WORKSPACE)/releases/current || $(BIN)/familiar-faces demo --workspace $(WORKSPACE)
	$(BIN)/familiar-faces dagster --workspace $(WORKSPACE)

bench: $(VENV)/ready  ## Measurements, as ratios within one run.
	$(BIN)/python -m benchmarks

spark: $(VENV)/ready-spark  ## Add Spark's engine to the environment (400 MB; needs Java 17 or newer to run).

clean:  ## Remove the environment, the demo workspace and every cache.
	test ! -d workspace || chmod -R u+w workspace  # releases are read-only
	rm -rf $(VENV) workspace build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

licences: $(VENV)/ready-spark  ## List the licences of everything that constraints.txt pins.
	$(BIN)/python -m pipelines.licences > docs/licences.md

# Its own environment, for what it needs is no part of ours. It asks a public server about every pin.
audit:  ## Known vulnerabilities of what constraints.txt pins; needs a network, and fails where one could not be asked for.
	test -x build/audit/bin/pip-audit || { $(PYTHON) -m venv build/audit && \
		PIP_CONSTRAINT= build/audit/bin/pip install --quiet pip-audit; }
	PIP_CONSTRAINT= build/audit/bin/pip-audit --disable-pip --no-deps --strict --requirement constraints.txt

# pip reads the constraints from PIP_CONSTRAINT, so the isolated build of the package is pinned as well.
$(VENV)/ready: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --editable '.[pipeline,dev]'
	touch $@

$(VENV)/ready-spark: $(VENV)/ready
	$(BIN)/pip install --quiet --editable '.[pipeline,dev,spark]'
	touch $@

constraints:  ## Pin the newest versions that pyproject.toml allows (then run the tests).
	rm -rf build/constraints
	$(PYTHON) -m venv build/constraints
	PIP_CONSTRAINT= build/constraints/bin/pip install --quiet --editable '.[pipeline,dev,spark]'
	echo '# Exact versions of everything the environment holds, direct and transitive; made by `make constraints`.' \
		> constraints.txt
	build/constraints/bin/pip freeze --exclude-editable >> constraints.txt
