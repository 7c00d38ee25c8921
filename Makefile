# Build, test and try the secrets engine. `make` alone lists the targets.

MODULE  := github.com/adtokens/vault-plugin-secrets-adtokens
# Vault shows it as the plugin's version, so it has to be a semantic version with a leading v.
VERSION ?= $(shell git describe --tags --match 'v[0-9]*' --dirty 2>/dev/null || echo v0.1.0-dev)
COMMIT  ?= $(shell git rev-parse --short=12 HEAD 2>/dev/null)
LDFLAGS := -s -w -X $(MODULE)/backend.Version=$(VERSION) -X $(MODULE)/backend.Commit=$(COMMIT) -X $(MODULE)/cmd/internal/cli.version=$(VERSION)

# Where and what `make build` builds.
BIN       := bin
COMMANDS  := ./cmd/...

# How many rounds a benchmark takes, how many tokens it makes, how long each fuzz target runs, and how long the soak lasts.
ROUNDS    ?= 5
TOKENS    ?= 10000
FUZZ_TIME ?= 5s
SOAK_TIME ?= 10m

# One way to build Vault's server, the plugin, its tools and whatever checks them, so that all they have in common is compiled
# once. Only the race detector needs C, and compiles everything for itself.
STATIC    := CGO_ENABLED=0 GOFLAGS='$(shell go env GOFLAGS) -trimpath'
LINT      := $(STATIC) go tool -modfile=scripts/tools/go.mod golangci-lint
# Without the discovery of services in clouds, which is most of promtool and nothing that rules need. go tool takes no tags.
PROMTOOL  := $(STATIC) go run -modfile=scripts/promtool/go.mod -tags=remove_all_sd github.com/prometheus/prometheus/cmd/promtool
SCRIPTS   := .ci/run $(wildcard scripts/*.sh scripts/*/*.sh)
# Tests and scripts run the server that is on PATH; without one, the pinned one in bin/.
VAULT_BIN := $(if $(shell command -v vault),,bin/vault)
export PATH := $(PATH):$(CURDIR)/bin

.PHONY: help
help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 15

.PHONY: build
build: ## Build the plugin and its tools into bin/
	$(STATIC) go build -ldflags '$(LDFLAGS)' -o $(BIN)/ $(COMMANDS)

.PHONY: vault
vault: bin/vault ## Build the pinned Vault server into bin/vault (minutes, the first time)

bin/vault: scripts/vault/go.mod scripts/vault/go.sum scripts/vault/tools.go
	scripts/vault/build.sh $@

.PHONY: test
test: $(VAULT_BIN) ## Run the tests, those against a real Vault server too; what breaks processes and networks is make chaos (make lint vets the code)
	go test -race -vet=off ./backend/... ./cmd/... ./docs/...
	go test -vet=off -timeout 40m $(filter-out %/tests/chaos %/tests/chaos/matrix,$(shell go list ./tests/...))

.PHONY: test-unit
test-unit: ## Run the tests that need no Vault server
	go test -race ./backend/... ./cmd/...

.PHONY: allocs
allocs: ## Fail where a hot function takes more memory than it did (make test counts nothing: the race detector adds its own)
	$(STATIC) go test -vet=off -count=1 -run '^TestAllocations$$' -v ./backend ./cmd/vault-plugin-secrets-adtokens

.PHONY: bench
bench: $(VAULT_BIN) ## Measure reads on a real Vault, beside a no-op plugin and KV, a mount of many tokens, and reads while a thousand rotate; keeps bin/bench.json (ROUNDS=5 TOKENS=10000)
	@mkdir -p bin
	ADTOKENS_BENCH_TOKENS=$(TOKENS) ADTOKENS_BENCH_JSON=$(CURDIR)/bin/bench.json go test -run '^$$' -bench '^Benchmark(Reads|Scale|Storm)$$' -benchtime=$(ROUNDS)x -timeout 60m ./tests/bench
	go test -run '^$$' -bench . -benchmem ./backend ./backend/rotation ./backend/schedule ./cmd/adtokens-audit ./cmd/vault-plugin-secrets-adtokens

.PHONY: profile
profile: $(VAULT_BIN) ## Tell where the processor time of a read goes; stacks for a flame graph are in bin/stacks/
	@mkdir -p bin/stacks
	ADTOKENS_BENCH_STACKS=$(CURDIR)/bin/stacks go test -run '^$$' -bench '^BenchmarkProfile$$' -benchtime=1x -timeout 10m ./tests/bench

.PHONY: chaos
chaos: $(VAULT_BIN) ## Break processes, networks, providers and storage beneath a plugin with the race detector; the table of crashes is in bin/crash-matrix.txt
	@mkdir -p bin
	ADTOKENS_TEST_RACE=yes CRASH_MATRIX=$(CURDIR)/bin/crash-matrix.txt go test -vet=off -count=1 -timeout 40m ./tests/chaos/...

.PHONY: soak
soak: $(VAULT_BIN) ## Rotate, fail and read for a while, say SOAK_TIME=8h, and compare what is left in memory and storage (Linux)
	ADTOKENS_SOAK_TIME=$(SOAK_TIME) go test -count=1 -run '^TestASoakLeavesNothingBehind$$' -timeout 0 -v ./tests/chaos

.PHONY: fuzz
fuzz: ## Run every fuzz target for a while, say FUZZ_TIME=10m
	$(STATIC) scripts/fuzz.sh $(FUZZ_TIME)

.PHONY: cover
cover: ## Measure the unit tests' coverage of the engine into bin/cover.html
	@mkdir -p bin
	go test -coverpkg=./backend/... -coverprofile=bin/cover.out ./backend/...
	go tool cover -html=bin/cover.out -o bin/cover.html
	@go tool cover -func=bin/cover.out | tail -n 1

.PHONY: fmt
fmt: ## Format the Go code
	$(LINT) fmt

.PHONY: lint
lint: ## Check code, formatting, modules, scripts, alert rules and known vulnerabilities
	$(LINT) config verify
	$(LINT) run
	$(LINT) run --build-tags failpoints,profile ./backend/ ./cmd/vault-plugin-secrets-adtokens/
	go mod tidy -diff
	go mod verify
	@for script in $(SCRIPTS); do bash -n $$script || exit; done
	$(PROMTOOL) check config --syntax-only docs/dashboards/prometheus.yaml
	$(PROMTOOL) check rules docs/dashboards/adtokens.rules.yaml
	$(PROMTOOL) test rules docs/dashboards/adtokens.rules.test.yaml
	$(STATIC) scripts/vulncheck.sh || [ $$? -eq 75 ] # 75: the database is out of reach, and the script said so

.PHONY: vulncheck
vulncheck: ## Check the dependencies for known vulnerabilities (needs the network)
	$(STATIC) scripts/vulncheck.sh

.PHONY: demo
demo: build $(VAULT_BIN) ## Play the story of a token's reset on a real Vault server
	scripts/demo.sh

.PHONY: dev
dev: build $(VAULT_BIN) ## Run Vault with the engine, the console and the simulators until Ctrl-C (PORT=8200)
	scripts/dev.sh

.PHONY: cluster
cluster: build $(VAULT_BIN) ## Run three Vault servers with the engine until Ctrl-C (PORT=8200)
	scripts/cluster.sh

.PHONY: cluster-check
cluster-check: build $(VAULT_BIN) ## Start that cluster, kill its leader, rotate, stop
	scripts/cluster.sh check

.PHONY: screenshots
screenshots: $(VAULT_BIN) ## Take pictures of every page of the console, light and dark, into bin/screenshots/ (needs Chromium)
	@mkdir -p bin/screenshots
	ADTOKENS_SCREENSHOTS=$(CURDIR)/bin/screenshots go test -count=1 -run '^TestPages_Everywhere$$' -v ./tests/console

.PHONY: version
version: ## Print the version that the checkout would be built as
	@echo $(VERSION)

.PHONY: release
release: ## Build the last commit's release for every platform into dist/
	rm -rf dist
	scripts/release.sh dist

.PHONY: release-check
release-check: ## Build it twice, in different places, and compare
	scripts/release-check.sh

.PHONY: release-try
release-try: $(VAULT_BIN) ## Install what dist/ has for this machine, as somebody who has downloaded it
	scripts/release-try.sh dist

.PHONY: compat
compat: ## Run the acceptance tests on another Vault, say VAULT_VERSION=v1.19.0
	scripts/compat.sh $(VAULT_VERSION)

.PHONY: clean
clean: ## Remove bin/, the Vault servers too, and dist/
	rm -rf bin dist
