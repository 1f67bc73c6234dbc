# The commands people type; CI runs the same.
GO          ?= go
FUZZTIME    ?= 30s
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2

.DEFAULT_GOAL := build
.PHONY: build run deps test race fuzz lint transcripts bench bench-full benchmarks help

build: ## build the programs into bin/
	$(GO) build -o bin/ ./cmd/...

run: build ## start a server for development
	bin/instantd -config configs/dev.yaml

deps: ## install what the tests need and Go does not bring
	.ci/deps

test: deps ## everything, with the race detector
	$(GO) vet ./...
	@unformatted=$$(gofmt -l .); test -z "$$unformatted" || { echo "gofmt is needed: $$unformatted"; exit 1; }
	$(GO) test -race -timeout 15m ./...
	cd bench/peers && $(GO) vet ./... && $(GO) test -race -timeout 5m ./...

race: ## the tests alone, without installing anything
	$(GO) test -race -timeout 15m ./...

fuzz: ## each fuzz target for FUZZTIME
	.ci/fuzz $(FUZZTIME)

lint: ## gofmt, vet, staticcheck
	@unformatted=$$(gofmt -l .); test -z "$$unformatted" || { echo "gofmt is needed: $$unformatted"; exit 1; }
	$(GO) vet ./...
	$(GO) run $(STATICCHECK) ./...

transcripts: ## replay the documented conversations against a fresh server
	$(GO) test -race -count=1 -run Transcript ./...

bench: build ## the goals, in less than five minutes, beside other servers
	$(GO) build -C bench/peers -o ../../bin/ .
	$(GO) run ./bench/instantbench goals

bench-full: build ## the same at full length, about an hour
	$(GO) build -C bench/peers -o ../../bin/ .
	$(GO) run ./bench/instantbench goals --full

benchmarks: ## the benchmarks of every package
	$(GO) test -run '^$$' -bench . -benchmem ./...

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile
