# make run    open the app with the embedded demo
# make test   lint, types, layers and all tests, on the real Petals stack
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Most tests wait for a server, a container or a terminal: four at once suit two cores.
PROCESSES ?= 4

.PHONY: run test lint format bench snapshots clean

run: $(READY)
	$(BIN)/torbiz-tui --demo

test: lint
	$(BIN)/python -m pytest -n $(PROCESSES) --dist loadgroup --no-loadscope-reorder $(PYTEST_ARGS)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	cd runner_scripts && ../$(BIN)/mypy --strict --ignore-missing-imports --python-version 3.11 --exclude demo_training .
	$(BIN)/lint-imports --no-cache

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY)
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/first_answer.py
	$(BIN)/python benchmarks/chat_render.py
	$(BIN)/python benchmarks/logs.py

snapshots: $(READY)
	$(BIN)/python -m pytest tests/snapshots --snapshot-update

clean:
	rm -rf $(VENV) dist .mypy_cache .ruff_cache .pytest_cache

$(READY): pyproject.toml
	@test -n "$(PYTHON)" || { echo "No Python found: install Python 3.11, or run make PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$(PYTHON) is older than Python 3.11: install 3.11, or run make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --editable . --group dev
	@touch $(READY)
