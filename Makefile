# Two commands are all that a fresh machine needs: `make demo` and `make test`.

SHELL := /bin/bash
# Outside the clone, so that a second clone does not compile RocksDB again.
export CARGO_TARGET_DIR ?= $(HOME)/.cache/tollbook/target
CARGO ?= cargo
BIN := $(CARGO_TARGET_DIR)/debug

.PHONY: help setup build demo test lint peers bench comparison instructions fuzz sim planted \
	chaos nightly

help: ## What can be made
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 12

setup: ## Install what a build needs and this machine lacks
	@bash .ci/setup

build: setup ## Build all programs
	$(CARGO) build --locked --workspace --all-targets

demo: setup ## An agent's calls through the gate, their verdicts, and the book verified
	$(CARGO) build --locked --workspace --bins
	$(BIN)/tollbook demo

test: setup ## All tests that need no other program
	$(CARGO) test --locked --workspace --all-targets

lint: setup ## Formatting and lints
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings

peers: build ## Real MCP clients and servers through the gate (installs them first)
	bash .ci/peers/run

bench: build comparison ## Figures, as ratios in one run
	$(BIN)/decision
	$(BIN)/allocations
	$(BIN)/loadtest compare

# Cedar has a target folder of its own: it builds some of the same crates with other features.
comparison: setup ## A decision's cost beside serde_json's and Cedar's (builds Cedar first)
	cd bench/cedar && CARGO_TARGET_DIR=$(CARGO_TARGET_DIR)/comparison \
		$(CARGO) run --locked

instructions: setup ## Instructions of one decision, counted by valgrind
	$(CARGO) build --locked -p tollbook-bench
	bench/instructions

fuzz: setup ## Bytes that break a reader, looked for FUZZ_SECONDS (60) for each of the targets
	bash .ci/fuzz/run

sim: setup ## Simulated clusters under faults, of SEEDS (0..200)
	$(CARGO) build --locked --workspace --bins
	$(BIN)/tollbook-sim --seeds $(or $(SEEDS),0..200)

planted: setup ## Bugs planted one at a time, and the seeds that find each
	$(CARGO) run --locked -p tollbook-sim --features planted -- --planted

chaos: setup ## Three real nodes under the faults of SEED (1), for CHAOS_SECONDS (60)
	$(CARGO) build --locked --workspace --bins
	$(BIN)/loadtest chaos --seed $(or $(SEED),1) --seconds $(or $(CHAOS_SECONDS),60)

nightly: setup ## What takes too long for every change: a million decisions by two ways
	TOLLBOOK_ORACLE_DECISIONS=1000000 $(CARGO) test --locked -p tollbook-policy --test policy \
		oracle -- --nocapture
