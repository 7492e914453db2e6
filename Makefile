# make quickstart: set up and run the main job.  make test: set up and pass all checks.
PYTHON ?= python3
BIN := .venv/bin
# Processes that run the tests, e.g. make test WORKERS=4; auto: one per core.
WORKERS ?= auto

.PHONY: quickstart test check faults coverage compat chaos bench lint docs reference checkpoint terminal clean

quickstart: .venv/ready
	$(BIN)/flyp-sweep run quickstart

test: .venv/ready lint
	$(BIN)/python -m pytest -n $(WORKERS) --durations=20

# What to run before a commit (two minutes): lint, types, quick tests and one whole sweep.
check: .venv/ready lint
	$(BIN)/python -m pytest -n $(WORKERS) -m 'not slow and not chaos'

# Plants known faults one by one, each of which the tests must find, e.g. make faults FAULTS='lock ledger'.
faults: .venv/ready
	$(BIN)/python tests/faults $(FAULTS)

# Which lines of the product no test reaches, those of the sweeps' own processes included.
coverage: .venv/ready
	$(BIN)/python -m pytest -n $(WORKERS) --cov --cov-report=term

# Whole sweeps on the oldest and newest libraries that pyproject.toml allows, e.g. make compat COMPAT='--only oldest'.
compat: .venv/ready
	$(BIN)/python tests/compat.py $(COMPAT)

# What dies in a long sweep: drivers, workers, nodes, servers (some 40 minutes on two cores).
chaos: .venv/ready
	$(BIN)/python -m pytest -s -m chaos

# Benchmarks into bench.md, e.g. make bench BENCH='--runs 3'; hours, for the baseline's part.
bench: .venv/ready
	$(BIN)/python tests/bench --output bench.md $(BENCH)

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The site of docs/ in site/; a link that leads nowhere is an error. `.venv/bin/mkdocs serve` shows it, with its search.
docs: .venv/ready
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

# docs/reference.md, from the model of a search space.
reference: .venv/ready
	$(BIN)/python -m flyp_sweep.search_spaces.reference > docs/reference.md

# The CLIP of the quickstart, pretrained anew (some ten minutes on two cores).
checkpoint: .venv/ready
	$(BIN)/python -m flyp_sweep.trainers.models.digits_clip.pretrain

# The README's picture of the terminal: runs the quickstart.
terminal: .venv/ready
	$(BIN)/python docs/terminal.py

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

clean:
	rm -rf .venv build site .coverage *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
