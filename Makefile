# What one does here. `make` lists it. Each goal first installs what the machine lacks (scripts/setup).

SHELL := /bin/bash
# Where rustup puts cargo, for a shell that does not know it yet.
export PATH := $(PATH):$(HOME)/.cargo/bin
CONFIG ?= gateway.yaml
BUILT := $(or $(CARGO_TARGET_DIR),target)

.PHONY: help demo test check lint bench conformance soak fuzz docs release setup

help:
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile | while IFS=$$'\t' read -r goal does; do printf 'make %-11s %s\n' "$$goal" "$$does"; done

# On a terminal the demo gets a process group of its own, and with it Ctrl-C for itself: make would call it a failure.
demo: export PORTREEVE_ACCESS_LOG ?= file:target/demo-access.log
demo: ## The gateway in front of sample services, with lines to try. CONFIG=… for a file other than gateway.yaml
	@scripts/setup build
	cargo build --locked --profile quick -p portreeve
	@mkdir -p target
	@demo=($(BUILT)/quick/portreeve demo -c $(CONFIG)); if [ -t 0 ]; then set -m; "$${demo[@]}"; else exec "$${demo[@]}"; fi

test: ## All tests
	@scripts/setup test
	cargo test --locked --workspace

check: lint ## What to run while writing: lints, unit tests, the corpus of the wire
	cargo test --locked --workspace --lib --bins
	cargo test --locked -p portreeve-tests --test e2e -- wire::

lint: ## Formatting and clippy, warnings denied
	@scripts/setup build
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings

bench: ## The gateway beside bare Pingora, nginx and HAProxy (docs/performance.md)
	@scripts/setup bench
	cargo build --locked --release -p portreeve
	cargo build --locked --release -p portreeve-proxy --example bare
	tests/load/run

conformance: ## Tools that nobody here wrote, before the gateway: curl, nghttp2, grpcio, testssl.sh, slowhttptest …
	@scripts/setup test
	cargo build --locked -p portreeve
	tests/conformance/run $(BUILT)/debug/portreeve

soak: ## Twenty minutes of every protocol, broken-off requests, slow peers, reloads and dying targets: nothing may leak
	@scripts/setup build
	tests/soak/run

fuzz: ## Every fuzz target for a minute (docs/security.md)
	@scripts/setup build
	scripts/fuzz

docs: ## Makes docs/configuration.md and gateway.schema.json anew from the types
	@scripts/setup build
	cargo build --locked -p portreeve
	$(BUILT)/debug/portreeve schema --markdown > $(BUILT)/configuration.md
	$(BUILT)/debug/portreeve schema > $(BUILT)/gateway.schema.json
	mv $(BUILT)/configuration.md docs/
	mv $(BUILT)/gateway.schema.json .

release: ## The binary for production: target/release/portreeve
	@scripts/setup build
	cargo build --locked --release -p portreeve

setup: ## Installs what tests and benches need beyond the build
	@scripts/setup bench
