# `make demo` and `make test` install what they need into .venv first.
PYTHON ?= python3
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --constraint constraints.txt --editable

.PHONY: demo test test-ray lint clean

demo: .venv/.for-demo
	$(BIN)/python -m segvol_core.demo

test: lint
	# Many small processes: one thread each is twice as fast as threads that wait for each other.
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadfile --cov --cov-report=term --cov-fail-under=90

test-ray: .venv/.for-tests
	OMP_NUM_THREADS=1 $(BIN)/pytest -m ray Testing/distributed

lint: .venv/.for-tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

.venv/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "SegVol needs Python 3.10 or newer")'
	@$(PYTHON) -m venv .venv || { rm -rf .venv; echo "Cannot make a virtual environment: on Debian, apt-get install python3-venv"; exit 1; }
	$(BIN)/python -m pip install --quiet --upgrade pip
	@touch $@

.venv/.for-demo: .venv/.made pyproject.toml constraints.txt
	$(INSTALL) '.[evaluate]'
	@touch $@

.venv/.for-tests: .venv/.made pyproject.toml constraints.txt
	$(INSTALL) '.[train,server,ray,slicer,dev]'
	@touch $@ .venv/.for-demo

clean:
	rm -rf .venv demo
