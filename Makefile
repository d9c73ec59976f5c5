# One command each. `tools/setup.sh` brings what is missing, from a fresh Debian on.

PYTHON := .venv/bin/python
.DEFAULT_GOAL := help
.PHONY: help run demo test check format messages screenshots soak fuzz histories bench binary binary-test systemd-test deb deb-test container-test lock dev clean

help: ## Say what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1|\2/' | column -t -s '|'

run: .venv/run ## Start the service on config.toml
	$(PYTHON) run.py serve --welcome

demo: .venv/run ## Start it on a throw-away database with 90 days of history and live devices
	$(PYTHON) run.py demo $(if $(SCENE),--scene $(SCENE))

test: dev system-tests ## Run the tests
	$(PYTHON) -m pytest -q -n 3 --dist worksteal

check: dev ## Lint, type-check strictly, hold the import rules
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy
	.venv/bin/lint-imports

format: dev ## Format the code
	.venv/bin/ruff check --fix
	.venv/bin/ruff format

messages: dev ## Bring the catalogs of translations up to the texts of the pages
	$(PYTHON) -m tools.messages

screenshots: dev system-tests ## Draw the pages of the demo anew, into docs/images
	$(PYTHON) -m tools.screenshots

soak: dev system-soak ## The long runs: kill -9, power cuts, clock steps, random histories, mutations, the rigs themselves, fuzzing
	$(PYTHON) -m tests.soak.kill --cycles 200
	$(PYTHON) -m tests.soak.restart
	$(PYTHON) -m tests.soak.power --cuts 30
	$(PYTHON) -m tests.soak.clock
	$(PYTHON) -m tests.soak.agent
	$(PYTHON) -m tests.soak.heartbeat_script
	$(PYTHON) -m tests.soak.devices
	$(PYTHON) -m tests.soak.devices --minutes 2 --mad
	$(PYTHON) -m tests.soak.mutations
	$(PYTHON) -m pytest -q -p no:xdist --timeout 0 tests/soak/rigs.py
	$(MAKE) histories fuzz

histories: dev ## 2,000 random histories against the independent recount
	KENER_HISTORIES=2000 $(PYTHON) -m pytest -q -s -p no:xdist --timeout 0 tests/test_histories.py
	KENER_HISTORIES=500 $(PYTHON) -m pytest -q -s -p no:xdist --timeout 0 tests/test_consistency.py

fuzz: dev ## At least 5,000 requests by schemathesis
	$(PYTHON) -m tests.soak.fuzz

bench: dev system-bench ## Measure, each as a ratio to a reference in the same run
	$(PYTHON) -m benchmarks.http
	$(PYTHON) -m benchmarks.store
	$(PYTHON) -m benchmarks.ingest
	$(PYTHON) -m benchmarks.page
	$(PYTHON) -m benchmarks.space
	$(PYTHON) -m benchmarks.growth

binary: build/venv/build ## Build the program as one file that needs no Python: dist/kener-async
	tools/binary.sh

systemd-test: binary dev system-nspawn ## Run it under a real systemd, as root: install, kill, stall, hang, restart under load
	$(PYTHON) -m tests.soak.systemd

binary-test: binary dev system-chroot ## Run it in a Debian that has no Python
	$(PYTHON) -m tests.soak.binary

deb: binary ## Build a package for Debian around it
	tools/deb.sh

deb-test: deb dev system-nspawn system-deb ## Install, upgrade, remove and purge the package under a systemd of its own
	$(PYTHON) -m tests.soak.deb

container-test: dev system-chroot ## Carry out the Containerfile without an engine, and run what it makes
	$(PYTHON) -m tests.soak.container

lock: dev ## Pin the dependencies anew, with hashes
	uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-header -q -o requirements/run.txt
	uv pip compile pyproject.toml --group dev --universal --python-version 3.11 --generate-hashes --no-header -q -o requirements/dev.txt
	uv pip compile pyproject.toml --group build --universal --python-version 3.11 --generate-hashes --no-header -q -o requirements/build.txt

dev: .venv/dev

system-%:
	@tools/setup.sh $*

.venv/run: requirements/run.txt
	@tools/setup.sh run

.venv/dev: requirements/dev.txt
	@tools/setup.sh dev

build/venv/build: requirements/build.txt
	@tools/setup.sh build

clean: ## Take away what was made, but not the data
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
