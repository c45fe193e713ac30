# The tasks of this repository. `make help` lists them.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# Cargo's output directory. The tools are installed there too, so `make clean` removes everything.
TARGET := $(abspath $(or $(CARGO_TARGET_DIR),target))
TOOLS := $(TARGET)/tools
# Python 3.11 or newer, which the tools need.
PYTHON ?= python3
export PYTHON

# The processor to build for: x86_64 or arm64, as Lambda spells them. By default, this machine's.
HOST_ARCH := $(patsubst aarch64,arm64,$(shell uname -m))
ARCH ?= $(HOST_ARCH)
RUST_TARGET := $(patsubst arm64,aarch64,$(ARCH))-unknown-linux-gnu
# Where cargo-lambda copies what it built. A build that runs beside tests has its own folder, because a program that runs
# cannot be replaced.
LAMBDA ?= $(TARGET)/lambda
# The version of the C library in provided.al2023, and in Amazon Linux 2023 everywhere.
GLIBC := 2.34

FUNCTION := $(TARGET)/debug/api-key-rotation
SANDBOX := $(TARGET)/debug/sandbox
BENCH := $(TARGET)/debug/bench

# Most tests spend their time waiting, so more of them run at once than there are cores.
export RUST_TEST_THREADS ?= 12

# Otherwise SAM reports every call to AWS.
export SAM_CLI_TELEMETRY := 0

##@ Try it

.PHONY: run
run: programs ## Run the demo: two rotations (15 s; first time 3-4 min; ARGS=-v shows reads, ARGS=--fleet 12 secrets)
	@$(SANDBOX) demo --function $(FUNCTION) $(ARGS)

.PHONY: sandbox
sandbox: programs ## Start the sandbox to call it with your own tools (ARGS=--fleet serves 12 secrets, ARGS=--help lists options)
	@exec $(SANDBOX) serve --function $(FUNCTION) $(ARGS)

.PHONY: programs
programs:
	@[[ -x $(SANDBOX) ]] || echo 'Building the function and the sandbox, which takes 3 to 4 minutes the first time on 2 cores.'
# The whole workspace, as for the tests, so that both share the build.
	@cargo build --workspace --locked

##@ Test

.PHONY: test
test: tools ## Run all tests except e2e (first time 13 min)
	@[[ -d $(TARGET)/debug ]] || echo 'Building and running the tests, which takes about 13 minutes the first time on 2 cores.'
	@tests/tools/need zsh
	@TOOLS=$(TOOLS) cargo test --workspace --locked

# Apart, because the feature `cli` has dependencies that the function must not have. The sandbox runs the
# function as it is built without that feature; cargo would otherwise put its own into that place.
.PHONY: testcli
testcli: tools ## Build rotationctl and test it against the sandbox (first time 3 min)
	@tests/tools/need zsh
	@cargo build --workspace --locked
	@install -D $(FUNCTION) $(TARGET)/cli/api-key-rotation
	@FUNCTION=$(TARGET)/cli/api-key-rotation TOOLS=$(TOOLS) \
	  cargo test --workspace --features cli --test cli --locked

.PHONY: verify
verify: build tools ## Build for Lambda and test whole rotations with it (5 min; build 4-6 min)
	@FUNCTION=$(TARGET)/lambda/api-key-rotation/bootstrap TOOLS=$(TOOLS) \
	  cargo test --workspace --locked --test function -- rotation:: errors:: doppler:: no_secret_leaks:: tls:: reconciliation::
	@FUNCTION=$(TARGET)/lambda/api-key-rotation/bootstrap TOOLS=$(TOOLS) \
	  cargo test --workspace --locked --test proof --test concurrency -- --skip load::
# `make test` runs the commands of the documentation in bash; this runs them in zsh.
	@tests/tools/need zsh
	@PAGES_SHELL=zsh FUNCTION=$(TARGET)/lambda/api-key-rotation/bootstrap TOOLS=$(TOOLS) \
	  cargo test --workspace --locked --test compatibility -- lambda_rie:: documented_commands::

# Tests that `cargo test` does not run. They run one after the other.
E2E := sam_deploy sam_local released_rotationctl reproducible_build sandbox_page

FOR_IAC := $(TOOLS)/cdk/.installed $(TOOLS)/pulumi/.source $(TOOLS)/terraform/.installed

# What the rest waits for, in one go: pip downloads while cargo compiles. For .ci/run, with --jobs.
.PHONY: ready
ready: tools $(patsubst %,$(TOOLS)/%/.installed,build checkov e2e test workflows) $(FOR_IAC)
.PHONY: tests
tests:
	@cargo test --workspace --locked --no-run
	@cargo test --workspace --locked --no-run --test e2e

.PHONY: e2e
e2e: build buildcli programs tools $(TOOLS)/e2e/.installed ## Deploy to an emulator, run in containers, package twice, use the page (12 min)
	@tests/tools/need chromium chromedriver
	@echo 'Deploying, running in containers, packaging twice, using the page. This takes about 12 minutes on 2 cores.'
	@for part in $(filter-out $(LEFT_OUT),$(E2E)); do \
	  FUNCTION=$(TARGET)/lambda/api-key-rotation/bootstrap TOOLS=$(TOOLS) \
	    cargo test --workspace --locked --test e2e -- --nocapture $$part:: || exit; \
	done

# That part of e2e which only builds, for .ci/run: it can run beside other tests.
.PHONY: reproduce
reproduce: tools $(TOOLS)/build/.installed
	@TOOLS=$(TOOLS) cargo test --workspace --locked --test e2e -- --nocapture reproducible_build::

.PHONY: iac
iac: $(FOR_IAC) ## Run the programs in examples for CDK, Pulumi and Terraform (3 min)
	@echo 'Running examples/cdk, examples/pulumi and both examples for Terraform. This takes about 2 minutes on 2 cores.'
	@cd tests/iac && for tool in terraform pulumi cdk; do \
	  for test in test_$$tool*.py; do \
	    PYTHONDONTWRITEBYTECODE=1 $(TOOLS)/$$tool/bin/python $$test || exit; \
	  done || exit; \
	done

##@ Check

# Files without the words in tests/tools/words.py, which this project does not use.
CHECKED_WORDS := README.md CONTRIBUTING.md SECURITY.md CHANGELOG.md docs examples src tests template.yaml Makefile .github

.PHONY: check
check: lint ## Check format, Clippy, template, workflows and rustdoc (3 min)
	@cargo fmt --all --check
# With the feature cli, Clippy sees everything that it sees without, and rotationctl: a test holds that no source
# depends on the feature. rustdoc takes the same features, so that both share what they compile.
	@cargo clippy --workspace --all-targets --features cli --locked -- -D warnings
# --all-targets leaves this one out, because `cargo test` does not run it.
	@cargo clippy --workspace --features cli --locked --test e2e -- -D warnings
# It has the function's dependencies, so a change of those needs the same command without --locked.
	@cargo update --workspace --locked --quiet --manifest-path tests/fuzz/Cargo.toml
	@$(PYTHON) tests/tools/mutants.py --fits
	@$(PYTHON) tests/tools/words.py $(CHECKED_WORDS)
	@RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --features cli --locked

.PHONY: lint
lint: $(TOOLS)/test/.installed $(TOOLS)/checkov/.installed $(TOOLS)/workflows/.installed ## Lint the template and the workflows; part of check
	@$(TOOLS)/test/bin/sam validate --lint --template template.yaml
	@$(TOOLS)/test/bin/cfn-lint template.yaml
# Both check most of the function's properties only after the template is expanded as by AWS.
	@$(TOOLS)/test/bin/python tests/tools/expand.py template.yaml >$(TOOLS)/template.json
	@$(TOOLS)/test/bin/cfn-lint $(TOOLS)/template.json
	@echo 'template.yaml: sam validate and cfn-lint found no problems, also in the expanded template'
	@$(TOOLS)/test/bin/cfn-lint examples/notices/*.yaml
	@echo 'examples: cfn-lint found no problems'
# The waivers are in the template, with reasons. Without --skip-download, it would fetch links to guidelines.
	@$(TOOLS)/checkov/bin/checkov --file template.yaml --framework cloudformation --skip-download --compact --quiet
	@echo 'template.yaml: checkov found only problems that are waived in the template'
	@$(TOOLS)/workflows/bin/check-jsonschema --quiet --builtin-schema vendor.github-workflows .github/workflows/*.yml
	@$(TOOLS)/workflows/bin/check-jsonschema --quiet --builtin-schema vendor.dependabot .github/dependabot.yml
	@$(TOOLS)/workflows/bin/zizmor --offline --quiet --persona pedantic .github
	@echo '.github: check-jsonschema and zizmor found no problems'

# A version, and the SHA-256 of its source at crates.io.
CARGO_DENY := 0.20.2 e528dfcbe739af7ce37a77d3d6df1b29dd6887b1c701d888820c0f16b864f737
# A checkout of the RustSec advisory database, for a machine without the network.
ADVISORIES ?=

.PHONY: audit
audit: $(TOOLS)/deny/bin/cargo-deny ## Check licenses, sources and known vulnerabilities (ADVISORIES=folder: without the network)
	@PATH="$(TOOLS)/deny/bin:$$PATH" tests/tools/audit $(ADVISORIES)

$(TOOLS)/deny/bin/cargo-deny:
	@echo 'Installing cargo-deny, once. This takes about 5 minutes on 2 cores.'
	@tests/tools/crate $(TOOLS)/deny cargo-deny $(CARGO_DENY)

##@ Build and deploy

.PHONY: build
build: PROGRAM := api-key-rotation
build: ## Build the function for Lambda (4-6 min; ARCH=x86_64 or ARCH=arm64)

# With --disable-optimizations, cargo-lambda does not add the processor of Lambda's machines, which an operator's
# machine may not be. The profile of Cargo.toml holds for both programs.
.PHONY: buildcli
buildcli: PROGRAM := rotationctl
buildcli: BUILD_OPTIONS := --features cli --disable-optimizations
buildcli: ## Build rotationctl for Linux with glibc 2.34 or newer (4-6 min; ARCH as for build)

# An invocation for each program: cargo would give the function the features that rotationctl needs.
build buildcli: $(TOOLS)/build/.installed
	@tests/tools/need readelf
# Otherwise cargo-lambda would add a missing target to your toolchain without asking.
	@[[ -d "$$(rustc --print sysroot)/lib/rustlib/$(RUST_TARGET)" ]] || \
	  { echo 'ARCH=$(ARCH): this Rust toolchain cannot build for $(RUST_TARGET); rustup target add $(RUST_TARGET)' >&2; exit 1; }
	@PATH="$(TOOLS)/build/bin:$$PATH" cargo lambda build --release --locked --lambda-dir '$(LAMBDA)' --bin $(PROGRAM) \
	  $(BUILD_OPTIONS) $(if $(filter $(HOST_ARCH),$(ARCH)),,--target $(RUST_TARGET))
	@tests/tools/glibc $(GLIBC) '$(LAMBDA)/$(PROGRAM)/bootstrap'

.PHONY: package
package: $(TOOLS)/build/.installed ## Pack the function, rotationctl and the template, for each processor or for one ARCH
	@tests/tools/package $(TARGET)/package $(if $(filter-out file,$(origin ARCH)),$(ARCH))

.PHONY: release
release: package $(TOOLS)/cyclonedx/bin/cargo-cyclonedx ## Make everything that a release has: make package, licences, bills of materials
	@PATH="$(TOOLS)/cyclonedx/bin:$$PATH" $(PYTHON) tests/tools/materials.py $(TARGET)/package

CYCLONEDX := 0.5.9 5d162f67705f0f5038759d73bf546a083bf30e8677c2e944b416bca48d9d69a8

$(TOOLS)/cyclonedx/bin/cargo-cyclonedx:
	@echo 'Installing cargo-cyclonedx, once. This takes about 3 minutes on 2 cores.'
	@tests/tools/crate $(TOOLS)/cyclonedx cargo-cyclonedx $(CYCLONEDX)

# Without PUBLISH=yes it only lists, and calls nothing.
.PHONY: publish
publish: $(TOOLS)/test/.installed ## List what make package made for the Serverless Application Repository (PUBLISH=yes BUCKET=... uploads)
	@PATH="$(TOOLS)/test/bin:$$PATH" PUBLISH='$(PUBLISH)' BUCKET='$(BUCKET)' REPOSITORY='$(REPOSITORY)' \
	  python tests/tools/publish.py $(TARGET)/package $(ARCH)

##@ Prove and measure

# The test binaries of the proof. Each runs a fixed share of its cases in `make test`, and all of them here.
PROOFS := decision units proof concurrency

.PHONY: prove
prove: tools ## Run the exhaustive fault injection against the release binary (2 h)
	@[[ -x $(TARGET)/release/api-key-rotation ]] || echo 'Building for release. The first time takes about 6 minutes on 2 cores.'
	@cargo build --release --locked --package api-key-rotation
# The tests start a thousand processes, each with several connections to the sandbox.
	@ulimit -n "$$(ulimit -H -n)"; PROOF=exhaustive FUNCTION=$(TARGET)/release/api-key-rotation TOOLS=$(TOOLS) \
	  cargo test --workspace --locked $(addprefix --test ,$(PROOFS)) -- --nocapture --test-threads 1

.PHONY: mutants
mutants: tools ## Run mutation tests (1 h; ARGS=5 runs only those of invariant 5)
	@tests/tools/need python
	@TOOLS=$(TOOLS) $(PYTHON) tests/tools/mutants.py $(ARGS)

CARGO_MUTANTS := 27.1.0 07072e7bcdeb425d5e5fdbfd9f15a2c749e23cb2edf5ef40aee5876760ae1cf9

.PHONY: puremutants
puremutants: $(TOOLS)/mutants/bin/cargo-mutants ## Run cargo-mutants on code without I/O (hours; ARGS='--shard 0/40')
	@PATH="$(TOOLS)/mutants/bin:$$PATH" cargo mutants --output $(TARGET) $(ARGS)

$(TOOLS)/mutants/bin/cargo-mutants:
	@echo 'Installing cargo-mutants, once. This takes about 4 minutes on 2 cores.'
	@tests/tools/crate $(TOOLS)/mutants cargo-mutants $(CARGO_MUTANTS)

# Counters at every edge, which libFuzzer reads, without a nightly toolchain. With --target, build scripts get none.
FUZZ_FLAGS := --cfg fuzzing -Ccodegen-units=1 -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
  -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table

.PHONY: fuzz
fuzz: ## Fuzz events, secrets and key descriptions (3 min; ARGS=600 for 30 min)
	@command -v c++ >/dev/null || { echo 'a C++ compiler is missing; libFuzzer is built with it' >&2; exit 1; }
	@echo 'Building with instrumentation. The first time takes about 5 minutes on 2 cores.'
	@for input in event secret_text description; do \
	  CARGO_TARGET_DIR=$(TARGET)/fuzz RUSTFLAGS='$(FUZZ_FLAGS)' \
	    cargo run --quiet --locked --manifest-path tests/fuzz/Cargo.toml --target $(RUST_TARGET) --bin $$input -- \
	    -max_total_time=$(or $(ARGS),60) -max_len=4096 -print_final_stats=1 || exit; \
	done

.PHONY: bench
bench: ## Measure size, memory, start and calls (release build 4-6 min)
	@tests/tools/need valgrind
	@[[ -x $(BENCH) ]] || echo 'Building for release. The first time takes about 6 minutes on 2 cores.'
# Separately: together, cargo would enable the function's features of shared dependencies for the empty function too.
	@cargo build --release --locked --package api-key-rotation
	@cargo build --release --locked --package empty-function
	@cargo build --workspace --locked
	@$(BENCH) $(TARGET)/release/api-key-rotation $(TARGET)/release/empty-function

##@ Maintain

.PHONY: tools
tools: $(TOOLS)/test/.installed $(TOOLS)/aws-lambda-rie ## Install the programs that the tests use; test does it too (1 min, 0.6 GB)
	@tests/tools/need curl

.PHONY: decisions
decisions: ## Write src/decision/decisions.md again from the code
	@DECISIONS=write cargo test --workspace --quiet --locked --test decision table
	@git --no-pager diff --stat src/decision/decisions.md

.PHONY: picture
picture: programs ## Write the picture of the sandbox's page in docs/images (2 min)
	@tests/tools/need chromium chromedriver pngquant
	@PICTURE=$(abspath docs/images/sandbox-page.png) \
	  cargo test --workspace --locked --test e2e -- sandbox_page::page_fits_widths_and_colour_schemes
	@pngquant --force --skip-if-larger --strip --ext .png docs/images/sandbox-page.png

.PHONY: clean
clean: ## Delete everything that was built or installed here
	@rm -rf .aws-sam
	@cargo clean

.PHONY: help
help: ## Show this list
	@awk 'BEGIN { FS = ":.*## " } /^##@ / { printf "%s\n", substr($$0, 5) } \
	  /^[a-z0-9]+:.*## / { printf "  make %-11s  %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

# One virtual environment per list of pinned packages. The lists are complete, so pip resolves no versions.
$(TOOLS)/%/.installed: tests/tools/%.txt
	@tests/tools/need python
	@echo 'Installing the programs in $<, once. This takes up to a minute.'
	@rm -rf $(@D)
	@$(PYTHON) -m venv $(@D)
	@$(@D)/bin/pip install --quiet --disable-pip-version-check --no-deps --only-binary :all: --requirement $<
	@problems=$$($(@D)/bin/pip check) || { echo "$$problems" >&2; exit 1; }
	@touch $@

# The one source package, whose archive is pinned by its hash. No other package is downloaded to build it.
$(TOOLS)/pulumi/.source: tests/tools/pulumi-source.txt $(TOOLS)/pulumi/.installed
	@$(@D)/bin/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --require-hashes --requirement $<
	@touch $@

# AWS's Lambda Runtime Interface Emulator, from the SAM CLI's package.
$(TOOLS)/aws-lambda-rie: $(TOOLS)/test/.installed
	@install $(TOOLS)/test/lib/python3*/site-packages/samcli/local/rapid/aws-lambda-rie-$(HOST_ARCH) $@
