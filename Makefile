# Targets with a "##" comment are listed by plain `make`.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:

# The linter has its own go.mod, so that its dependencies stay out of the library's.
LINT := go tool -modfile=tools/go.mod golangci-lint

# Packages that are tested at once. Each may run a server of its own.
PARALLEL ?= 2
TIMEOUT ?= 45m
FUZZTIME ?= 60s
# Regular expressions over the names of fuzz tests and benchmarks.
FUZZ ?= ^Fuzz
BENCH ?= .
BENCHTIME ?= 1s
COVERPROFILE ?= coverage.out

.PHONY: help
help: ## List the targets.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: test
test: ## Run the unit tests. Needs nothing but Go.
	go test -timeout $(TIMEOUT) ./...

.PHONY: race
race: export CGO_ENABLED = 1
race: ## Run the unit tests under the race detector. Needs a C compiler.
	go test -race -timeout $(TIMEOUT) ./...

.PHONY: integration
integration: export CGO_ENABLED = 1
integration: ## Run all tests under the race detector, on real servers of their own.
	go test -race -tags integration -p $(PARALLEL) -timeout $(TIMEOUT) ./...

.PHONY: oauth
oauth: export CGO_ENABLED = 1
oauth: ## Test the tokens against a real OAuth 2 server, in a module of its own.
	cd internal/oauthtest && go mod tidy -diff && go vet ./... && go test -race -timeout $(TIMEOUT) ./... && \
		go tool -modfile=../../tools/go.mod golangci-lint run ./...

.PHONY: check
check: tidy lines vet lint examples integration oauth ## Run everything that CI runs.

.PHONY: tidy
tidy: ## Check that go.mod and go.sum are what the code needs.
	go mod tidy -diff

.PHONY: lines
lines: ## Check that files are short: under 400 lines, tests under 800.
	@find . -name '*.go' -not -path './.git/*' -exec wc -l {} + | awk ' \
		$$2 == "total" { next } \
		{ limit = $$2 ~ /_test\.go$$/ ? 800 : 400 } \
		$$1 >= limit { print $$2 ": " $$1 " lines, must be under " limit ": split it by noun"; bad = 1 } \
		END { exit bad }'

.PHONY: vet
vet: ## Run go vet, without and with the integration tests.
	go vet ./...
	go vet -tags integration ./...

.PHONY: lint
lint: ## Lint, formatting included. The first run builds the linter: some minutes.
	$(LINT) run

.PHONY: fmt
fmt: ## Format the code and sort the imports.
	$(LINT) fmt

.PHONY: examples
examples: ## Run the example that needs no servers.
	timeout 120s go run ./examples/quickstart

.PHONY: snippets
snippets: ## Copy the code that README.md and docs/ show from its Go files.
	go test -count=1 ./internal/snippet -update

.PHONY: cover
cover: ## Run the unit tests and print how much of the code they cover.
	go test -timeout $(TIMEOUT) -coverpkg=./... -coverprofile=$(COVERPROFILE) ./...
	@go tool cover -func=$(COVERPROFILE) | tail -n 1

# `go test -list` prints the names of a package's tests, then the package.
.PHONY: fuzz
fuzz: ## Run each fuzz test, or those that match FUZZ, for FUZZTIME (60s).
	@go test -list '$(FUZZ)' ./... | \
		awk '/^Fuzz/ { names[++n] = $$1 } /^ok/ { for (i = 1; i <= n; i++) print $$2, names[i]; n = 0 }' | \
		while read -r package name; do \
			echo "== $$package $$name"; \
			go test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) "$$package" </dev/null; \
		done

.PHONY: bench
bench: ## Run the benchmarks that match BENCH, each for BENCHTIME (1s).
	go test -run '^$$' -bench '$(BENCH)' -benchtime $(BENCHTIME) -benchmem -p 1 -timeout $(TIMEOUT) ./...

.PHONY: tools
tools: ## Build the linter, so that the first `make lint` is quick.
	$(LINT) version
