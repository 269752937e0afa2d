# Each target does its own set-up in .venv; none needs root, a network service or a compiler unless it says so.
# the system's own Python where it will do: other users' jobs and commands must be able to run it, which they can't where
# it lies in somebody's home
PYTHON ?= $(shell /usr/bin/python3 -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))' \
	2>/dev/null && echo /usr/bin/python3 || echo python3)
VENV := .venv
BIN := $(VENV)/bin
SHARED ?= ../shared
GOLDEN ?= $(SHARED)/oracle/scenarios/golden
CORPUS ?= $(SHARED)/corpus
CLIENTS ?= $(SHARED)/acceptance
CLUSTER ?= fixtures/clusters/oracle.yaml
AREA ?=
ONLY ?=

.PHONY: help install demo test docs json replay corpus clients bench clean

help:
	@echo "make demo      a private cluster, a real script, its queue, output and accounting"
	@echo "make test      the whole suite"
	@echo "make install   the commands, in $(VENV)/commands"
	@echo "make replay    [GOLDEN=dir] [AREA=a,b]  recorded Slurm transcripts against us (root)"
	@echo "make corpus    [CORPUS=dir] [ONLY='01 02']  real script shapes, unchanged"
	@echo "make clients   [CLIENTS=dir] [ONLY=name]  real workflow engines, unchanged"
	@echo "make json      every --json beside the real Slurm's, key by key (root, and the real one's folder)"
	@echo "make bench     [WRITE=file]  our figures beside the real Slurm's, as ratios"
	@echo "make docs      docs/options.md anew, from the table of options"
	@echo "make clean     the virtual environment and the tools' caches away"

# the virtual environment is made anew when pyproject.toml changes
$(VENV)/.ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q --disable-pip-version-check -e '.[test]'
	touch $@

install: $(VENV)/.ready
	@$(BIN)/slurm-compat install-commands $(VENV)/commands

demo: install
	@PYTHON=$(BIN)/python tools/demo

# many tests wait for real processes, so three at a time keep two cores busy; what failed while they shared the machine
# must pass, or fail again, by itself
test: $(VENV)/.ready
	@$(BIN)/python tools/postgresql.py --install
	$(BIN)/python -m pytest -n 3 --dist worksteal || $(BIN)/python -m pytest --last-failed --last-failed-no-failures none

docs: $(VENV)/.ready
	$(BIN)/python tools/support_matrix.py

json: $(VENV)/.ready
	$(BIN)/python tools/json_compare.py --oracle $(SHARED)/oracle --cluster $(CLUSTER) -q --write docs/json.md

replay: $(VENV)/.ready
	$(BIN)/python tools/replay.py --oracle $(SHARED)/oracle --cluster $(CLUSTER) --area "$(AREA)" --only "$(ONLY)" $(GOLDEN)

corpus: $(VENV)/.ready
	$(BIN)/python tools/corpus.py --cluster $(CLUSTER) $(CORPUS) $(ONLY)

clients: $(VENV)/.ready
	$(BIN)/python tools/clients.py --cluster $(CLUSTER) $(CLIENTS) $(ONLY)

bench: $(VENV)/.ready
	$(BIN)/python tools/bench.py --oracle $(SHARED)/oracle $(if $(WRITE),--write $(WRITE))

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache
