# make lab     the running course, in JupyterLab
# make test    all tests: unit tests, doctests, notebooks
# make help    the rest

PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
SITE := .venv/.installed-site
SLIDES := .venv/.installed-slides
BENCH := .venv/.installed-bench
CONSTRAINTS ?= constraints.txt
PIP := $(BIN)/pip --disable-pip-version-check --quiet
SPHINX := $(BIN)/sphinx-build -n -W --keep-going -d build/doctrees
CHROMIUM ?= /usr/bin/chromium
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)
OPEN ?= notebooks/README.md
TORCH ?= auto
SOLVED := notebooks/solutions/00_quickstart.ipynb

# Threads that wait must sleep (siamdecon/__init__.py), also where a kernel imports torch first.
export OMP_WAIT_POLICY ?= PASSIVE
export GOMP_SPINCOUNT ?= 10000

# On this machine only, and without asking the network for updates; in a container, root may run it.
LAB_OPTIONS := --ip=127.0.0.1 \
	--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate \
	$(if $(filter 0,$(shell id -u)),--allow-root)

.PHONY: help lab test test-gpu test-browser site slides links notebooks figures samples sweep bench tables stress lint clean
.DEFAULT_GOAL := help

help:  ## show this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

# Installs once: again only when what is to be installed has changed.
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	@$(BIN)/python install_torch.py $(TORCH)
	$(PIP) install --constraint $(CONSTRAINTS) --editable ".[dev]"
	$(BIN)/jupyter labextension disable --level=sys_prefix "@jupyterlab/apputils-extension:announcements"
	@touch $@

# What the documentation needs comes beside the rest when it is first built.
$(SITE): $(STAMP)
	$(PIP) install --constraint $(CONSTRAINTS) --editable ".[site,browser]"
	@touch $@

# reveal.js comes in a package for Sphinx.
$(SLIDES): $(SITE)
	$(PIP) install --constraint $(CONSTRAINTS) --editable ".[slides]"
	@touch $@

# What the PSF convolution is measured beside.
$(BENCH): $(STAMP)
	$(PIP) install --constraint $(CONSTRAINTS) --editable ".[bench]"
	@touch $@

lab: $(STAMP)  ## open the course in JupyterLab; ARGS="--no-browser --port 8890" are passed on; TORCH=cpu or default
	@# The list of notebooks is read, not edited.
	@mkdir -p .venv/share/jupyter/lab/settings
	@echo '{"@jupyterlab/docmanager-extension:plugin": {"defaultViewers": {"markdown": "Markdown Preview"}}}' \
		> .venv/share/jupyter/lab/settings/overrides.json
	$(BIN)/jupyter lab $(LAB_OPTIONS) --LabApp.default_url=/lab/tree/$(OPEN) $(ARGS)

test: $(STAMP)  ## run all tests; ARGS="-k psf -x" are passed on to pytest
	$(BIN)/python -m pytest $(ARGS) siamdecon tests
	@# As on Binder: its threads, and 2 GiB of address space, which a build with CUDA needs for itself; a
	@# thread's stack takes 8 MiB of that unless told otherwise, and no memory.
	@# Exit status 5: ARGS has left out all notebooks.
	ulimit -s 4096; ulimit -v $$($(BIN)/python -c "import torch; print('unlimited' if torch.version.cuda else 2**21)"); \
	SIAMDECON_AUTO=1 binder/start $(BIN)/python -m pytest $(ARGS) --nbval --nbval-cell-timeout=600 notebooks/solutions || [ $$? -eq 5 ]

# One training of the paper's size among them; most notebooks assert what the lab tier gives on a CPU.
test-gpu: $(STAMP)  ## on a machine with a GPU, within ten minutes: the tests marked gpu; prints what they prove
	@$(BIN)/python -c "from siamdecon.hardware import pick_device; pick_device('cuda')"
	$(BIN)/python -m pytest -m gpu $(ARGS) tests/test_gpu.py
	SIAMDECON_AUTO=1 $(BIN)/python -m pytest $(ARGS) --nbval --nbval-cell-timeout=300 $(SOLVED)

site: $(SITE)  ## build the documentation into build/site, and run the notebooks that have changed for it
	$(SPHINX) -b html docs build/site

slides: $(SLIDES)  ## make slides from the notebooks in build/slides; ARGS names notebooks: ARGS="01 07"
	$(BIN)/python notebooks/slides.py build/slides $(ARGS)

links: $(SITE)  ## check the documentation's links to other sites
	$(SPHINX) -b linkcheck docs build/links

# Debian's package; elsewhere, name a browser that there is: CHROMIUM=/path/to/chromium.
$(CHROMIUM):
	$(SUDO) apt-get update --quiet
	$(SUDO) apt-get install --yes --quiet --no-install-recommends chromium

test-browser: site $(CHROMIUM)  ## drive the documentation and JupyterLab in a real browser
	SIAMDECON_BROWSER=$(CHROMIUM) $(BIN)/python -m pytest $(ARGS) tests/browser

notebooks: $(STAMP)  ## derive the notebooks and the page of notation from notebooks/source/ and notebooks/equations.toml
	$(BIN)/python notebooks/derive.py

figures: $(STAMP)  ## draw docs/*.png from the notebooks
	$(BIN)/python notebooks/derive.py --figures

samples: $(STAMP)  ## derive data/ from siamdecon/files/phantoms.py
	$(BIN)/python -m siamdecon.files.samples

sweep: $(STAMP)  ## train the stored sweep of the lambda explorer, data/lambdas.zip; goes on where it was stopped
	$(BIN)/python -m siamdecon.lab.sweep

bench: $(BENCH)  ## measure speed and memory; ARGS names sections
	$(BIN)/python -m benchmarks $(ARGS)

tables: $(STAMP)  ## measure the paper's tables, as far as they are not yet; ARGS="--budget-s 600" are passed on
	$(BIN)/python -m benchmarks.tables --out benchmarks/results/tables.jsonl $(ARGS)

stress: $(STAMP)  ## attack the package: inputs, files, disks, signals; goes on where it was stopped; ARGS="--share 0.1": a tenth
	$(BIN)/python -m benchmarks.stress $(ARGS)
	$(BIN)/python -m benchmarks.page

lint: $(STAMP)  ## check style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

clean:  ## remove the environment and what was built
	rm -rf .venv build dist docs/api docs/course
