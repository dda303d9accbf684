# `make run` and `make test` work on a fresh machine: they need Python 3.11+, make and git, and install the rest.
.DEFAULT_GOAL := help
SHELL := /bin/bash

# uv does everything else. If it is not installed, a private copy goes to .tools/. Its path is never a prerequisite,
# because a folder's name may have spaces.
PRIVATE_UV := .tools/bin/uv
ifeq ($(shell command -v uv),)
UV := $(PRIVATE_UV)
INSTALL_UV := $(PRIVATE_UV)
else
UV := uv
endif
RUN := $(UV) run --locked

ifneq ($(shell command -v pyenv),)
# pyenv's commands fail for a version that is not selected: select Lambda's next to the developer's.
export PYENV_VERSION := $(shell pyenv version-name):$(shell pyenv latest 3.13 2>/dev/null || pyenv version-name)
endif

# The file has the hash of uv for every platform: pip installs nothing else.
$(PRIVATE_UV): tools/uv-requirements.txt
	python3 -m venv .tools
	.tools/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: --no-deps \
		--requirement $<
	@touch $@

.PHONY: help
help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

.PHONY: run
run: $(INSTALL_UV) ## Serve everything on http://localhost:8000, without Docker (PORT=8001 DATA_DIR=/elsewhere move it)
	@$(RUN) --no-dev python -m local_runtime

.PHONY: demo
demo: $(INSTALL_UV) ## Serve a copy that is filled with a day of users, logins and one attack (PORT=8001 moves it)
	@$(RUN) --no-dev python -m tools.demo

.PHONY: screenshots
screenshots: $(INSTALL_UV) ## Take the pictures in docs/images/ of both pages of the demo (needs Chromium)
	@$(RUN) python -m tools.demo.screenshots

# A process for each core, and more with --all. FEATURE is a marker of pyproject.toml, or an expression of several.
PYTEST = $(RUN) pytest -n auto --dist loadgroup $(if $(FEATURE),-m "$(FEATURE)")

.PHONY: test
test: $(INSTALL_UV) ## Run the quick tests, 3 minutes (FEATURE=passkeys runs those of one feature)
	@$(PYTEST)

.PHONY: test-all
test-all: $(INSTALL_UV) ## Run every test: also PostgreSQL, browser, SAM, faults, fuzzing and the template
	@$(PYTEST) --all

.PHONY: migrate
migrate: $(INSTALL_UV) ## Bring the database that DATABASE_URL names to this version's schema (a deployment does so by itself)
	@$(RUN) migrate

.PHONY: fuzz
fuzz: $(INSTALL_UV) ## Look for counterexamples among new examples, twenty times as many as the tests have
	@HYPOTHESIS_PROFILE=long $(RUN) pytest -m hypothesis

.PHONY: attack
attack: $(INSTALL_UV) ## Attack a local service of its own, and show which events and alarms each attack raises
	@$(RUN) python -m tools.attacks

.PHONY: bench
bench: $(INSTALL_UV) ## Measure speed next to what cannot be cheaper and to peers (BENCH="floors --rounds 3" is some of it)
	@$(RUN) python -m benchmarks $(BENCH)

# SAM CLI in an environment of its own, next to the Python that Lambda runs: SAM and the layer's Makefile call python3.13.
PYTHON_313 = $$($(UV) run --no-project --python 3.13 python -c 'import sys; print(sys.base_prefix)')
SAM = PATH="$(PYTHON_313)/bin:$$PATH" UV="$$(command -v $(UV))" AWS_DEFAULT_REGION=$${AWS_DEFAULT_REGION:-us-east-1} \
	$(UV) run --script --locked tools/template/sam_local.py

.PHONY: python-313
python-313: $(INSTALL_UV)
	@test -x "$(PYTHON_313)/bin/python3.13" && echo "$(PYTHON_313)/bin"

.PHONY: build
build: $(INSTALL_UV) ## Build the layer and the functions for Lambda (into .aws-sam/)
	@$(SAM) build

.PHONY: deploy
deploy: $(INSTALL_UV) ## Deploy to AWS what `make build` has built, without a question (ENVIRONMENT=prod)
	@$(SAM) deploy --config-env $(ENVIRONMENT) --no-confirm-changeset --no-fail-on-empty-changeset

.PHONY: sam
sam: build serve-sam ## Build, and serve with the real `sam local start-api` on http://localhost:3000 (needs Docker)

.PHONY: serve-sam
serve-sam: $(INSTALL_UV)
	@TOKEN_ISSUER=http://localhost:3000 $(SAM) local start-api $(SAM_LOCAL_ARGS)

# Templates of examples, for other accounts.
EXAMPLES = $(wildcard examples/*/template.yaml)

# As CloudFormation gets it: what is checked is what SAM makes, and not what it was asked for.
DEPLOYED = $(RUN) python -m tools.template.deployed_template Stage=prod

.PHONY: lint
lint: $(INSTALL_UV) ## Check style, types, import directions, language, workflows and the template
	$(RUN) ruff check
	$(RUN) ruff format --check
	$(RUN) python -m tools.docs.prose
	$(RUN) mypy
	$(RUN) lint-imports
	$(RUN) zizmor --offline --quiet .github examples/pipeline/deploy.yml
	@$(DEPLOYED) | $(UV) run --script --locked tools/template/template_lint.py template.yaml $(EXAMPLES)
	@$(DEPLOYED) | $(UV) run --script --locked tools/template/template_scan.py $(EXAMPLES)

.PHONY: format
format: $(INSTALL_UV) ## Rewrite the code in the project's style
	$(RUN) ruff check --fix
	$(RUN) ruff format

.PHONY: docs
docs: $(INSTALL_UV) ## Write every generated file: docs/asvs.md, docs/openapi.json, requirements.txt and more
	$(RUN) python -m tools.docs.generated_files

SBOM ?= sbom.json
.PHONY: sbom
sbom: $(INSTALL_UV) ## Write what the layer is made of, as CycloneDX, from the lock (SBOM=elsewhere.json)
	$(UV) export --quiet --locked --preview --format cyclonedx1.5 --package auth-common --prune aurora-dsql-python-connector --no-dev --output-file $(SBOM)

.PHONY: release
release: $(INSTALL_UV) ## Prepare a release and print how to publish it (VERSION=1.2.3)
	@$(RUN) python -m tools.release.command $(VERSION)

.PHONY: audit
audit: $(INSTALL_UV) ## Look for known vulnerabilities in what uv.lock pins (asks osv.dev, and fails without it)
	$(UV) audit --locked

.PHONY: clean
clean: ## Remove what was built; data and keys in .local stay
	rm -rf .aws-sam .coverage .mypy_cache .pytest_cache .ruff_cache
