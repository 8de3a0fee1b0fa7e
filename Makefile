# Two commands for a fresh machine with Python 3.11: `make demo` and `make test`.
PYTHON ?= python3.11
BIN := .venv/bin
DEMO := Elton John performed in New York on 12 May 2022 for Apple, and tickets cost $$120.

.PHONY: demo test lint types tests clean

demo: .venv/installed
	@$(BIN)/gliner-mt extract --format table --labels "person,city,date,company,price" --text '$(DEMO)'

test: lint types tests

lint: .venv/developer
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/developer
	$(BIN)/mypy

# Models in tests are tiny: several threads would only wait for each other, several processes don't.
tests: .venv/developer
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2

.venv/installed: pyproject.toml constraints.txt
	test -d .venv || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	@touch $@

.venv/developer: .venv/installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	@touch $@

clean:
	rm -rf .venv build dist *.egg-info
