# The commands that people and CI run.  Each sets up what it needs.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
OUT ?= demo-results

LOWEST = .venv-lowest
LOWEST_TORCH ?= torch==2.4.1
PYTHONS ?= 3.11 3.12 3.13

.PHONY: demo test docs test-lowest test-pythons lint format clean

demo: $(VENV)/.installed  ## limited-data study on real digits: structured, unstructured, scattering, SVM
	$(BIN)/sklstruct study --data digits \
	  --estimators rfnn,rfnn:frame=pixel,scattering_svc,svm \
	  --sizes 50,100,300,1000 --draws 5 --seed 0 --set max_epochs=70 --n-jobs 2 --out $(OUT)

test: $(VENV)/.installed-test  ## all tests
	$(BIN)/python -m pytest -n 2

docs: $(VENV)/.installed-docs  ## the site, in docs/_build/html
	$(BIN)/python -m sphinx -W --keep-going -q -j 2 -b html docs docs/_build/html
	$(BIN)/python docs/check_links.py docs/_build/html

# Installed, not linked: both leave the build of the kernel in this folder alone.
test-lowest:  ## all tests with the oldest versions, LOWEST_TORCH="torch==2.4.1 --index-url ..." for its CPU build
	test -x $(LOWEST)/bin/python || $(PYTHON) -m venv $(LOWEST)
	rm -rf build
	$(LOWEST)/bin/python -m pip install -q $(LOWEST_TORCH)
	$(LOWEST)/bin/python -m pip install -q -c constraints-lowest.txt ".[test]"
	$(LOWEST)/bin/pytest -n 2

test-pythons:  ## all tests with every Python; uv brings those that are not there
	rm -rf build
	for version in $(PYTHONS); do \
	  uv venv -q --seed --allow-existing --python $$version .venv-$$version && \
	  .venv-$$version/bin/python -m pip install -q -c constraints.txt torch && \
	  .venv-$$version/bin/python -m pip install -q -c constraints.txt ".[test]" && \
	  .venv-$$version/bin/pytest -n 2 || exit 1; \
	done

lint: $(VENV)/.installed-dev  ## what pre-commit checks, and the types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) .venv-* $(OUT) build *.egg-info

# torch comes first and alone: with a version that is pinned, pip takes the build that is offered
# for it and does not look for a newer one.
$(VENV)/.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q -c constraints.txt torch
	$(BIN)/python -m pip install -q -c constraints.txt -e .
	touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(BIN)/python -m pip install -q -c constraints.txt -e ".[test]"
	touch $@

$(VENV)/.installed-docs: $(VENV)/.installed
	$(BIN)/python -m pip install -q -c constraints.txt -e ".[docs]"
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/python -m pip install -q -c constraints.txt -e ".[test,dev]"
	touch $@
