# What anybody does with this project, from an empty clone: `make demo`, `make test`.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PEERS := .venv-peers
TOOLS := .venv-tools
LOWEST := .venv-lowest
STAMP := $(VENV)/.installed
BENCHMARK_DATA ?= ../shared/data
# Nine minutes of an H200 with both at once, a day of a core without a GPU (then up to rounding).
PRETRAIN := --seed 21 --mixer 16 --learning-rate 1.5e-3 --pool-steps 100 --workers 6
DATA := sample_data/airline_passengers.csv

.DEFAULT_GOAL := help
.PHONY: help install demo test lint format dist bench bench-speed bench-peers proof proof-full proof-scale pretrain configs glossary clean lock sbom audit lowest

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(STAMP) ## make .venv and install the package with its development tools

# pip is silent while it unpacks: a line every eight seconds says how far it has come.
define with_signs_of_life
( while sleep 8 >/dev/null; do echo "  ... $$(du -sm $(VENV) | cut -f1) MB so far"; done ) & life=$$!; \
trap 'kill $$life 2>/dev/null' EXIT; trap 'exit 130' INT; trap 'exit 143' TERM; $(1)
endef

# Once: again only when pyproject.toml changes.
$(STAMP): pyproject.toml
	@command -v $(PYTHON) >/dev/null || { \
	  echo "$(PYTHON) was not found: install Python 3.11 or newer, or set PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Python 3.11 or newer is needed; $(PYTHON) is `$(PYTHON) --version`" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing into $(VENV): some minutes, once; 2 GB, or 5 GB where torch comes with CUDA"
	@$(call with_signs_of_life,$(BIN)/python -m pip install --disable-pip-version-check -e '.[dev]')
	@touch $@

demo: $(STAMP) ## train on the airline passengers, compare with ARIMA, forecast
	$(BIN)/lstmcast train $(DATA) --out runs/demo
	$(BIN)/lstmcast predict --model runs/demo --output -

test: $(STAMP) ## run the tests, on as many cores as there are up to four
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile

lint: $(STAMP) ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --explicit-package-bases forecast

format: $(STAMP) ## put the code into shape
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

dist: $(STAMP) ## build what is handed out; PROJECT_URL=https://... makes the README's links absolute
	$(BIN)/python -m build --outdir dist .

bench: $(STAMP) ## measure accuracy and speed: every script of benchmarks/
	set -e; for script in benchmarks/[!_]*.py; do echo "== $$script"; $(BIN)/python "$$script"; done

bench-speed: $(STAMP) ## measure speed alone: the training loop, cores, growth, predict, a GPU if any
	$(BIN)/python benchmarks/bench_speed.py

# In an environment of its own: nothing that the peers need gets into ours.
bench-peers: $(STAMP) ## compare with NeuralForecast, GluonTS and Darts (installs them beside)
	test -x $(PEERS)/bin/python || $(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check -r benchmarks/peers/requirements.txt
	$(BIN)/python benchmarks/peers/bench_peers.py --python $(PEERS)/bin/python

proof: $(STAMP) ## the heavier proofs: published figures, then every script of proof/
	LSTMCAST_BENCHMARK_DATA=$(BENCHMARK_DATA) $(BIN)/python -m pytest -m proof
	$(BIN)/python -m pip install --quiet --disable-pip-version-check playwright 'psycopg[binary]'
	-$(BIN)/python -m pip install --quiet --disable-pip-version-check atheris
	-$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[federated]'
	$(BIN)/python -m pytest tests/workflows/test_federation_rounds.py
	set -e; for script in proof/[!_]*.py; do echo "== $$script"; $(BIN)/python "$$script"; done

# The promises of scheduled runs at every point there is; hours of a core.
proof-full: $(STAMP) ## prove scheduled runs at full length; writes docs/proofs.md
	set -e; for name in two_starters resume_training timing kill_anywhere soak stateful clocks clock_changes full_disk; do \
	  echo "== $$name"; $(BIN)/python proof/batch_$$name.py --full; done

proof-scale: $(STAMP) ## a million fuzzed files, ten gigabytes, a million series, Ray: hours
	mkdir -p build
	$(BIN)/python proof/fuzz_loader.py --full --state build/fuzz.json --keep build/fuzz
	$(BIN)/python proof/scale_loader.py --only long --gigabytes 10
	$(BIN)/python proof/scale_loader.py --only many --series 1000000
	$(BIN)/python proof/scale_engines.py --series 1000000
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[ray]'
	$(BIN)/python proof/ray_partitions.py --series 100000
	$(BIN)/python proof/scale_engines.py --series 1000000 --least 10000 --engine ray

pretrain: $(STAMP) ## train the backbones anew on synthetic series; resumes where it stopped
	$(BIN)/python -m forecast.training.pretraining.pretrain step build/weights/step $(PRETRAIN) --steps 26000 --batch-size 1024
	$(BIN)/python -m forecast.training.pretraining.pretrain day build/weights/day $(PRETRAIN) --steps 24000 --batch-size 512

configs: $(STAMP) ## write configs/default.yaml anew from forecast/config/schema.py
	$(BIN)/python -c 'from forecast.config.files import commented_defaults as text; print(text(), end="")' > configs/default.yaml

glossary: $(STAMP) ## write docs/glossary.md anew from forecast/reporting/glossary.py
	$(BIN)/python -c 'from forecast.reporting.glossary import glossary_page as text; print(text(), end="")' > docs/glossary.md

$(TOOLS)/bin/uv: # tools that look at the environment from outside
	test -x $(TOOLS)/bin/python || $(PYTHON) -m venv $(TOOLS)
	$(TOOLS)/bin/python -m pip install --quiet --disable-pip-version-check uv cyclonedx-bom pip-audit

lock: $(TOOLS)/bin/uv ## write requirements/ anew: development and CI with hashes, the lowest versions
	$(TOOLS)/bin/uv pip compile pyproject.toml --extra dev --generate-hashes --python-version 3.11 \
	  --upgrade --no-emit-index-url --no-header -q -o requirements/dev.txt
	$(TOOLS)/bin/uv pip compile pyproject.toml --resolution lowest-direct --python-version 3.11 \
	  --no-deps --no-annotate --no-emit-index-url --no-header -q -o requirements/lowest.txt

sbom: $(STAMP) $(TOOLS)/bin/uv ## write build/sbom.json: what is installed here, as CycloneDX
	mkdir -p build
	$(TOOLS)/bin/cyclonedx-py environment --pyproject pyproject.toml --mc-type application \
	  --output-reproducible -o build/sbom.json $(BIN)/python

# --strict: a package that nobody could look up is a failure; else all of them pass unseen.
audit: $(TOOLS)/bin/uv ## look for known advisories against requirements/dev.txt (needs the network)
	$(TOOLS)/bin/pip-audit --strict --requirement requirements/dev.txt --require-hashes --disable-pip

lowest: $(TOOLS)/bin/uv ## test with the lowest version of each direct dependency, in .venv-lowest
	test -x $(LOWEST)/bin/python || $(TOOLS)/bin/uv venv -q --python 3.11 $(LOWEST)
	$(TOOLS)/bin/uv pip install -q --python $(LOWEST)/bin/python -r requirements/lowest.txt pytest packaging hypothesis
	PYTHONPATH=. $(LOWEST)/bin/python -m pytest tests/cli/test_first_house.py tests/models/test_store.py \
	  tests/inference/test_predict.py tests/workflows/test_train.py

clean: ## remove what was made here, runs and .venv included
	rm -rf $(VENV) $(PEERS) $(TOOLS) $(LOWEST) runs build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
