# Everything here bootstraps itself on a machine with Python 3.11 or newer, git and make.
# Chatter of the set-up goes to stderr, so that `make demo ARGS="--once --json"` prints nothing but its result.

PYTHON ?= python3
UV_VERSION := 0.13.9
UV := .uv/bin/uv
BIN := .venv/bin
ARGS ?=
PYTHON_CLIENTS := langchain llamaindex smolagents instructor pydantic-ai litellm huggingface-hub
NODE_CLIENTS := openai-node ai-sdk
CLIENTS := $(addprefix .clients/,$(addsuffix /.done,$(PYTHON_CLIENTS) $(NODE_CLIENTS)))

.PHONY: help demo test test-slow test-clients test-real check fmt clean setup

help: ## what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

demo: .venv/.done ## run the gateway on scripted backends; ARGS="--once --json" for one JSON object
	@$(BIN)/smallfirst demo $(ARGS)

test: .venv/.done .venv-openai2/.done ## all quick tests
	@$(BIN)/python -m pytest -rfEs -m "not slow and not clients and not real"

test-slow: .venv/.done .venv-openai2/.done ## the long ones: soak of 50,000 requests
	@$(BIN)/python -m pytest -m slow

test-clients: .venv/.done $(CLIENTS) ## real clients of other makers, each in an environment of its own
	@$(BIN)/python -m pytest -rfEs -m clients tests/clients

test-real: .venv/.done .real/.done ## llama.cpp's own server, which is built before the first time: seven minutes
	@.uv/bin/python tests/real/build.py
	@$(BIN)/python -m pytest -rfEs -m real tests/real

check: .venv/.done .venv-openai2/.done ## format, lint, types, lock, all tests (docs and config examples are among them)
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(UV) lock --check --quiet
	@$(BIN)/python -m pytest -rfEs -m "not clients and not real"

fmt: .venv/.done ## format and mend what can be mended
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

setup: .venv/.done .venv-openai2/.done ## only the environments

clean: ## remove what make has made
	@rm -rf .venv .venv-openai2 .clients .real .uv .pytest_cache .mypy_cache .ruff_cache .hypothesis dist

$(UV):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; say which with: make PYTHON=/path/to/python3.11 ..." >&2; exit 2; }
	@echo "setting up: uv $(UV_VERSION)" >&2
	@$(PYTHON) -m venv .uv >&2 || { rm -rf .uv; exit 2; } # Python says itself what it lacks (Debian: python3-venv)
	@.uv/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION) >&2

.venv/.done: pyproject.toml uv.lock | $(UV)
	@echo "setting up: .venv" >&2
	@$(UV) sync --locked --quiet --python $(PYTHON) >&2
	@touch $@

# openai-python 2 and 3 cannot live in one environment; 3 is in the dev group.
.venv-openai2/.done: tests/clients/openai-2.txt | $(UV)
	@echo "setting up: .venv-openai2" >&2
	@$(UV) venv --quiet --clear --python $(PYTHON) .venv-openai2 >&2
	@$(UV) pip install --quiet --python .venv-openai2 -r $< >&2
	@touch $@

.real/.done: tests/real/requirements.txt | $(UV)
	@echo "setting up: .real" >&2
	@$(UV) venv --quiet --clear --python $(PYTHON) .real >&2
	@$(UV) pip install --quiet --python .real -r $< >&2
	@touch $@

$(PYTHON_CLIENTS:%=.clients/%/.done): .clients/%/.done: tests/clients/%.txt | $(UV)
	@echo "setting up: .clients/$*" >&2
	@$(UV) venv --quiet --clear --python $(PYTHON) .clients/$* >&2
	@$(UV) pip install --quiet --python .clients/$* -r $< >&2
	@touch $@

# Without npm their tests say what is missing, and the others run.
$(NODE_CLIENTS:%=.clients/%/.done): .clients/%/.done: tests/clients/%/package.json tests/clients/%/package-lock.json
	@echo "setting up: .clients/$*" >&2
	@mkdir -p .clients/$* && cp $^ .clients/$*
	@if command -v npm >/dev/null; then cd .clients/$* && npm ci --ignore-scripts --no-audit --no-fund --silent >&2 && \
		touch .done; else echo "there is no npm: install Node.js 18 or newer, with npm" >&2; fi
