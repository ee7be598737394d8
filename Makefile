# Everything a person runs. Each target does its own set-up on a fresh Debian or Ubuntu machine, and nothing when all is there.

SHELL = /bin/sh
PY = .venv/bin/python
# Without a configuration file: loopback and ./data. With one: what the file says, unless you say more here.
ifeq ($(CONFIG),)
LISTEN ?= 127.0.0.1:5000
DATA ?= ./data
endif

# Compiled once: tests start Python some thousand times, and it would compile all that it imports each time.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL = help
.PHONY: help package serve cluster check test test-full mutants bench format lock coverage shape clean packages-serve packages-test packages-bench packages-package

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' Makefile | awk -F'|' '{printf "%-18s %s\n", $$1, $$2}'

serve: packages-serve .venv/ready-serve ## start the registry; LISTEN=127.0.0.1:5000 DATA=./data CONFIG=config.yml WORKERS=2
	@exec .venv/bin/entrepot serve $(CONFIG) $(if $(LISTEN),--listen '$(LISTEN)') $(if $(DATA),--data '$(DATA)') $(if $(WORKERS),--workers $(WORKERS))

# What is named on the command line or in the environment, and not the defaults above, which are those of `serve`.
given = $(if $(filter command environment,$(firstword $(origin $(1)))),--$(2) '$($(1))')
cluster: packages-serve packages-cluster .venv/ready-test ## start a whole cluster on this machine for a look; LISTEN=127.0.0.1:5000 DATA=./cluster NODES=3
	@exec $(PY) -m tools.cluster $(call given,LISTEN,listen) $(call given,DATA,data) $(call given,NODES,nodes)

check: packages-serve .venv/ready-test ## static checks: format, lint, types, import contracts, our own rules, a row for each route, a whole schema, the drawn tree
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy
	.venv/bin/lint-imports
	$(PY) -m tools.lint
	$(PY) -m tests.http.matrix.check
	$(PY) -m tests.migrations.check
	$(PY) -m tools.tree --check

test: packages-serve packages-test .venv/ready-test ## all tests but the long forms, some 35 minutes on two cores; ARGS="tests/http -k tags" or AREA=registry for some
	@$(if $(AREA),tests=$$($(PY) -m tools.mutants.areas $(AREA)) && )tools/run_tests.sh $(if $(AREA),$$tests) $(ARGS)

test-full: packages-serve packages-test packages-bench .venv/ready-test ## every test, the long forms too
	@tools/run_tests.sh -m "" $(ARGS)

bench: packages-serve packages-bench .venv/ready-test ## measure beside the peers; SCENARIO=pull-manifest for one
	$(PY) -m benchmarks $(SCENARIO)

package: packages-serve packages-package .venv/ready-test ## wheel, sdist and container archive in dist/, the same bytes each time: docs/how-to/install.md
	@tools/package.sh
	@ARCHIVE=dist/entrepot-image-$$(.venv/bin/entrepot --version | cut -d' ' -f2).tar.gz deploy/build.sh

format: .venv/ready-test ## put the code into its form
	.venv/bin/ruff format .
	.venv/bin/ruff check --fix .

mutants: packages-serve packages-test .venv/ready-test ## change the code a little, 200 times in each area, and see whether its tests notice; AREA=quota
	$(PY) -m tools.mutants $(AREA) $(ARGS)

coverage: packages-serve .venv/ready-test ## line and branch coverage of the fast tests
	$(PY) -m coverage run -m pytest tests/unit tests/contracts tests/http $(ARGS)
	$(PY) -m coverage report

shape: .venv/ready-test ## lengths of functions and files, longest first
	$(PY) -m tools.shape src

lock: .venv/ready-test ## pin the dependencies of pyproject.toml anew; UPGRADE=1 takes the newest
	tools/lock.sh $(if $(UPGRADE),--upgrade)

clean: ## remove everything the targets made, but no data
	rm -rf .venv .tools build/test-images .coverage .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

packages-serve packages-cluster packages-test packages-bench packages-package: packages-%:
	@tools/packages.sh $*

.venv/ready-%: pyproject.toml requirements/uv.txt requirements/constraints.txt requirements/constraints-dev.txt requirements/constraints-ldap.txt tools/environment.sh
	@tools/environment.sh $*
