# Each target sets up what it needs: a virtual environment with the locked dependencies.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready
RUN := PATH="$(CURDIR)/$(BIN):$$PATH"
CORES ?= auto
JOBS ?= all

.PHONY: demo test test-slow test-both test-all test-cluster figures lint pages notebooks article docs clean

demo: $(READY)
	$(RUN) vdiff run --brief --cores $(JOBS)

test: $(READY)
	$(RUN) pytest -n $(CORES) --dist loadfile --no-loadscope-reorder

# What takes many seconds a test, mostly whole runs of the pipeline.
test-slow: $(READY)
	$(RUN) pytest -n $(CORES) --dist loadfile --no-loadscope-reorder -m "slow and not long"

# Both in continuous integration, where what both need is then made once.
test-both: $(READY)
	$(RUN) pytest -n $(CORES) --dist loadfile --no-loadscope-reorder -m "not long and not cluster"

test-all: $(READY)
	$(RUN) pytest -n $(CORES) -m "not cluster"

# A real Slurm of one node on loopback and every fault it can have; root, Debian.
test-cluster: $(READY)
	$(RUN) pytest -m "cluster and not long" -n 0 tests/cluster

lint: $(READY)
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) snakefmt --check Snakefile workflow
	$(RUN) snakemake --lint --config preset=smoke
	$(RUN) snakemake --lint --snakefile workflow/score.smk --config model=setup.py:make data=digits out=scores.csv
	$(RUN) mypy
	$(RUN) codespell

# The figures and reports of the kept results, from their tables alone.
figures: $(READY)
	$(RUN) snakemake --cores $(JOBS) --forcerun kept_page -- reference

# The documentation site, in site/, with the notebook as it was kept.
docs: $(READY)
	$(RUN) python docs/site.py

# The pages that are made from the code.
pages: $(READY)
	$(RUN) vdiff reference configuration >docs/configuration.md

# The notebooks with their output. The page on any model is run in a folder of its own, for it writes a picture; its links are
# those of docs/.
notebooks: $(READY)
	$(RUN) && OMP_NUM_THREADS=1 jupyter execute --inplace notebooks/swissroll.ipynb
	$(RUN) && work="$$(mktemp -d)" \
		&& sed 's#](\([a-z/-]*\.[a-z]*\)#](../docs/\1#g' docs/any-model.md >"$$work/any-model.md" \
		&& jupytext --quiet --to ipynb "$$work/any-model.md" \
		&& OMP_NUM_THREADS=1 PYTHONWARNINGS=ignore jupyter execute --inplace "$$work/any-model.ipynb" \
		&& cp "$$work/any-model.ipynb" notebooks/

# The article, from the kept tables.
article: $(READY)
	$(RUN) python docs/article/make.py

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "vdiff needs Python 3.11 or newer; name one by make PYTHON=python3.11.")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --requirement requirements.lock
	$(BIN)/pip install --quiet --no-deps --editable .
	touch $(READY)

clean:
	rm -rf .venv
