# The commands that people and CI run.  Each sets up what it needs.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
OUT ?= demo-results

.PHONY: demo test lint format clean

demo: $(VENV)/.installed  ## limited-data study on real digits: structured, unstructured, scattering, SVM
	$(BIN)/sklstruct study --dataset digits \
	  --estimators rfnn,rfnn:frame=pixel,scattering_svc,svm \
	  --sizes 50,100,300,1000 --draws 5 --seed 0 --set max_epochs=70 --n-jobs 2 --out $(OUT)

test: $(VENV)/.installed-test  ## all tests
	$(BIN)/python -m pytest -n 2

lint: $(VENV)/.installed-dev  ## what pre-commit checks, and the types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) $(OUT) build *.egg-info

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

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/python -m pip install -q -c constraints.txt -e ".[test,dev]"
	touch $@
