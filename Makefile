# One command for each task. `tools/setup.sh` installs what is missing, on a fresh Debian too.

PYTHON := .venv/bin/python
.DEFAULT_GOAL := help
.PHONY: help run demo test check format messages screenshots situations soak peers fuzz histories bench bench-cost bench-rest binary binary-test systemd-test deb deb-test container-test lock dev clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1|\2/' | column -t -s '|'

run: .venv/run ## Start the service on config.toml
	$(PYTHON) run.py serve --welcome

demo: .venv/run ## Start it on a temporary database with 90 days of history and live devices
	$(PYTHON) run.py demo $(if $(SCENE),--scene $(SCENE))

# With bytecode, because the tests start hundreds of servers, and each would compile the program again.
test: dev system-tests ## Run the tests
	env -u PYTHONDONTWRITEBYTECODE $(PYTHON) -m pytest -q -n 4 --dist worksteal

check: dev ## Lint, check the format, the types and the import rules
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy
	.venv/bin/lint-imports

format: dev ## Format the code
	.venv/bin/ruff check --fix
	.venv/bin/ruff format

messages: dev ## Update the translation catalogs from the texts of pages and messages
	$(PYTHON) -m tools.messages

screenshots: dev system-tests ## Take the screenshots in docs/images again
	$(PYTHON) -m tools.screenshots

situations: dev system-tests ## Draw the page in rare situations into build/situations, to be looked at
	$(PYTHON) -m tools.situations build/situations

soak: dev system-soak ## Run the long tests: kill -9, power cuts, clock steps, random histories, mutations, rigs, fuzzing
	$(PYTHON) -m tests.soak.kill --cycles 200
	$(PYTHON) -m tests.soak.restart
	$(PYTHON) -m tests.soak.power --cuts 30
	$(PYTHON) -m tests.soak.deliveries --cuts 30
	$(PYTHON) -m tests.soak.checks --kills 20
	$(PYTHON) -m tests.soak.clock
	$(PYTHON) -m tests.soak.agent
	$(PYTHON) -m tests.soak.heartbeat_script
	$(PYTHON) -m tests.soak.devices
	$(PYTHON) -m tests.soak.devices --minutes 2 --mad
	$(PYTHON) -m tests.soak.slow_clients --connections 8000
	$(PYTHON) -m tests.soak.conditions --texts 100000
	$(PYTHON) -m tests.soak.hostile_targets --checks 200000
	$(PYTHON) -m tests.soak.mutations
	$(PYTHON) -m pytest -q -p no:xdist --timeout 0 tests/soak/rigs.py tests/soak/scenes.py
	$(MAKE) histories fuzz

peers: dev system-peers ## Send alerts to real receivers and code of vendors, check real targets, as root
	$(PYTHON) -m pytest -q -p no:xdist tests/peers/*.py

histories: dev ## Compare random histories with an independent recount, and those of alerts with a judge
	KENER_HISTORIES=2000 $(PYTHON) -m pytest -q -s -p no:xdist --timeout 0 tests/test_histories.py
	KENER_HISTORIES=500 $(PYTHON) -m pytest -q -s -p no:xdist --timeout 0 tests/test_consistency.py
	KENER_RULES=5000 $(PYTHON) -m pytest -q -p no:xdist --timeout 0 tests/test_recurrence.py
	$(PYTHON) -m tests.soak.alerts

fuzz: dev ## Send 150,000 requests: by schemathesis, and hostile ones to every route
	$(PYTHON) -m tests.soak.fuzz

bench: bench-cost bench-rest ## Run the benchmarks; with TREE=../before the first half compares two checkouts

TREES := $(if $(TREE),--tree $(TREE) --tree .)
bench-cost: dev system-bench ## Measure requests, writes, pages, starts, memory, 10,000 monitors and bytes on disk
	$(PYTHON) -m benchmarks.http $(TREES)
	$(PYTHON) -m benchmarks.http $(TREES) --history 90 --monitors 1000 --rounds 3
	$(PYTHON) -m benchmarks.writes $(TREES)
	$(PYTHON) -m benchmarks.page $(TREES)
	$(PYTHON) -m benchmarks.start $(TREES)
	$(PYTHON) -m benchmarks.memory $(TREES) --monitors 1000
	$(PYTHON) -m benchmarks.scale $(TREES)
	$(PYTHON) -m benchmarks.space $(TREES)

bench-rest: dev system-bench ## Measure batches, routes, alerts, checks, screens and sign-ins, with short phases
	$(PYTHON) -m benchmarks.store
	$(PYTHON) -m benchmarks.ingest --rounds 3 --seconds 4
	$(PYTHON) -m benchmarks.growth --monitors 50
	$(PYTHON) -m benchmarks.routes --seconds 0.5
	$(PYTHON) -m benchmarks.alerts --seconds 60
	$(PYTHON) -m benchmarks.checks --seconds 60
	$(PYTHON) -m benchmarks.storm
	$(PYTHON) -m benchmarks.manage --alerts 100 100000
	$(PYTHON) -m benchmarks.sign_in --seconds 12 --tries 150

binary: build/venv/build ## Build the program as one file without Python: dist/kener-async
	tools/binary.sh

systemd-test: binary dev system-nspawn ## Test it under a real systemd, as root: install, kill, stall, hang, restart
	$(PYTHON) -m tests.soak.systemd

binary-test: binary dev system-chroot ## Test it in a Debian without Python, as root
	$(PYTHON) -m tests.soak.binary

deb: binary ## Build the Debian package
	tools/deb.sh

deb-test: deb dev system-nspawn system-deb ## Install, upgrade, remove and purge the package under systemd, as root
	$(PYTHON) -m tests.soak.deb

container-test: dev system-chroot ## Execute the Containerfile without an engine and test the result, as root
	$(PYTHON) -m tests.soak.container

lock: dev ## Pin the dependencies again, with hashes
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

clean: ## Delete everything generated, but not the data
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
