# Everything that is done with this project by hand. `make help` lists it.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help setup run demo test setup-tests test-rust test-browser setup-checks check audit bench bench-compare go2rtc

CARGO ?= cargo
TARGET_DIR := $(or $(CARGO_TARGET_DIR),$(CURDIR)/target)
BIN := $(CURDIR)/.tools/bin

# Where the tests find what they start. Without these variables they look in the
# same places, so that a plain `cargo test` works as well.
export ROLLCALL_TEST_MONGO_SERVER ?= $(BIN)/mongo
export ROLLCALL_TEST_GO2RTC ?= $(BIN)/go2rtc
export ROLLCALL_TEST_COMPOSE ?= $(BIN)/compose
CHROMIUM := $(or $(ROLLCALL_TEST_CHROMIUM),$(shell command -v chromium || command -v chromium-browser || command -v google-chrome))
export ROLLCALL_TEST_CHROMIUM = $(or $(CHROMIUM),$(shell command -v chromium))

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' Makefile

setup: ## get ONNX Runtime's library and the pages' libraries, which Cargo does not bring
	@scripts/setup-onnxruntime
	@scripts/setup-pages

run: setup ## build in release and serve on http://localhost:10000
	@$(CARGO) run --release --locked -- serve

demo: setup ## enroll, punch in, refuse a stranger, punch out, in the terminal
	@$(CARGO) run --release --locked -- demo

test: test-rust test-browser ## run every test

setup-tests: ## get what the tests need: servers, browser, packages
	@scripts/setup-tests

# Built first and on its own, so that progress shows; the tests then print only
# what matters. The browser tests use the binary of the same build: `cargo build`
# would compile most packages again, without the features that test packages want.
test-rust: setup-tests ## run the tests in Rust
	@$(CARGO) test --locked --no-run
	@CARGO="$(CARGO)" scripts/test-rust

test-browser: setup-tests ## run the tests in a real browser
	@$(CARGO) test --locked --no-run --quiet
	@ROLLCALL_TEST_BINARY="$(TARGET_DIR)/debug/rollcall" scripts/test-browser

setup-checks:
	@scripts/setup-checks

# The library and the binary are held to all lints; tests and benches may
# unwrap, spawn and read the clock. The one test in the first line makes both
# lines use the same build of all packages.
check: setup-checks ## format, lints, documentation, packages, scripts and pages
	@$(CARGO) fmt --check
	@$(CARGO) clippy --locked --quiet --lib --bins --test architecture -- -D warnings
	@$(CARGO) clippy --locked --quiet --tests --benches -- -D warnings -A clippy::unwrap_used -A clippy::disallowed_methods -A missing_docs
	@RUSTDOCFLAGS='-D warnings -A rustdoc::private_intra_doc_links' $(CARGO) doc --locked --quiet --no-deps --lib
	@scripts/check-packages
	@scripts/check-files
	@scripts/check-javascript

audit: setup-checks ## check packages against published advisories too; needs the network
	@.tools/cargo-deny/bin/cargo-deny --locked check --hide-inclusion-graph

bench: setup ## measure stages and requests
	@$(CARGO) bench --locked

bench-compare: setup ## compare punches a second with a plain service in Python
	@test -x .tools/peer/bin/python || python3 -m venv .tools/peer
	@.tools/peer/bin/pip install --quiet --require-hashes -r load/peer/requirements.txt
	@$(CARGO) bench --locked --bench compare

go2rtc: ## build go2rtc, pinned in tests/servers, for tests with cameras
	@mkdir -p $(BIN)
	cd tests/servers && CGO_ENABLED=0 go build -trimpath -ldflags='-s -w' -o $(BIN)/go2rtc github.com/AlexxIT/go2rtc
