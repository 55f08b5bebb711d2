# Two commands do everything on a fresh machine: `make run` and `make test`.
.DEFAULT_GOAL := run
.PHONY: run test test-tools test-extras check trust format api clean

SETUP := sh scripts/setup.sh

# Tests start hundreds of processes, each of which would compile aritmo anew.
unexport PYTHONDONTWRITEBYTECODE

run: ## build corpora, train, write, judge, report: about five minutes, no GPU
	@$(SETUP)
	@.venv/bin/aritmo run

test: ## all tests, on every core
	@$(SETUP) test
	@OMP_NUM_THREADS=1 .venv/bin/pytest -n auto --dist worksteal

test-tools: ## the bridges to other tools against the real libraries, in an environment of their own
	@$(SETUP) test-tools .venv-tools
	@OMP_NUM_THREADS=1 .venv-tools/bin/pytest -n auto --dist worksteal tests/bridges

test-extras: ## each extra alone in a fresh environment, and there what its page says: about fifty minutes
	@$(SETUP)
	@OMP_NUM_THREADS=1 .venv/bin/python -m scripts.extras

check: ## what a change has to pass: style, types, tests (the docs are checked by tests/test_docs.py)
	@$(SETUP) check
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy
	@OMP_NUM_THREADS=1 .venv/bin/pytest -n auto --dist worksteal

trust: ## what aritmo promises, measured: the table of figures, in under an hour on two cores
	@$(SETUP) trust
	@OMP_NUM_THREADS=1 .venv/bin/python -m trust

format: ## put the code in shape
	@$(SETUP) check
	@.venv/bin/ruff check --fix .
	@.venv/bin/ruff format .

api: ## pages on every module, class and function, from their docstrings: build/api/index.html
	@$(SETUP) docs
	@.venv/bin/python scripts/api_docs.py build/api

clean: ## remove what was made here, runs aside
	rm -rf .venv .venv-tools build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
