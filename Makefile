# Everything but images, cluster, e2e and generate needs Go, make and a C compiler
# for the race detector; build and demo need Go and make alone.

GO      ?= go
# In the binaries' --version and in rollcall_build_info.
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X main.version=$(VERSION)
# -trimpath: the same binary wherever it is built. -buildvcs=false: VERSION says
# it, and git refuses to tell in a checkout that belongs to somebody else.
# nomsgpack: gin's MessagePack, which nobody asks for, is 6 MB of code.
GOBUILD := CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=false -tags nomsgpack -ldflags '$(LDFLAGS)'

# Of one run of all tests of one package; a hang should end before CI's patience.
TEST_TIMEOUT  ?= 10m
E2E_TIMEOUT   ?= 60m
# A regular expression: make bench BENCH=Fanout.
BENCH         ?= .
BENCH_TIMEOUT ?= 30m
SOAK          ?= 1h
# Flags of the cluster: make cluster CLUSTER=--metrics-server.
CLUSTER       ?=
# Virtual nodes under fire, and real members of gossip in real time (as many as
# two cores bear); 300x1,1000x10 are 1000 more with all intervals stretched
# tenfold, which takes two hours.
SCALE_NODES   ?= 5000
SCALE_GOSSIP  ?= 300x1

# Compiled on first use, which takes minutes, and cached by Go.
GOLANGCI_LINT := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0

# What answers of metrics.k8s.io are made of.
OPENAPI_OF := k8s.io/metrics/pkg/apis/metrics/v1beta1 k8s.io/apimachinery/pkg/apis/meta/v1 \
	k8s.io/apimachinery/pkg/api/resource k8s.io/apimachinery/pkg/runtime k8s.io/apimachinery/pkg/version

ARCHES ?= amd64 arm64
# Before the name of an image: make images IMAGE_PREFIX=registry.example/rollcall/
IMAGE_PREFIX ?=
IMAGE_BUILDER ?= $(shell command -v buildah || command -v docker)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help build demo test test-scale e2e e2e-rollcall e2e-others cluster check lint bench bench-agent bench-fleet soak images generate clean

help: ## print this
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# Always run: Go knows better than make what is up to date.
build: ## build bin/rollcall-agent, bin/rollcall-aggregator and bin/rollcall-fleet
	$(GOBUILD) -o bin/rollcall-agent ./agent
	$(GOBUILD) -o bin/rollcall-aggregator ./aggregator
	$(GOBUILD) -o bin/rollcall-fleet ./e2e/fleet

demo: build ## run a fleet of 3 nodes with 20 minutes of history, until Ctrl-C
	bin/rollcall-fleet --nodes 3 --aggregators 1 --backfill 20m

test: build check ## build, check format and run all tests with the race detector
	$(GO) test -race -timeout $(TEST_TIMEOUT) ./...

test-scale: ## run the tests under fire with 5000 nodes, and gossip's with 300 members, 20 minutes
	ROLLCALL_NODES=$(SCALE_NODES) $(GO) test -run UnderFire -count=1 -timeout 0 -v ./e2e/fleet
	ROLLCALL_SCALE=$(SCALE_GOSSIP) $(GO) test -run TestScale -count=1 -timeout 0 -v ./e2e/gossip

e2e: ## run the tests on real Kubernetes clusters on this machine, as root, two at a time
	cd e2e/cluster && $(GO) vet ./...
	@$(MAKE) --no-print-directory -j 2 e2e-rollcall e2e-others

# They mostly wait, so that two clusters at a time are no slower. Each line says whose
# it is. -p 1: with several packages at a time go test shows nothing before they end.
e2e-rollcall e2e-others: SHELL := /bin/bash
e2e-rollcall:
	@set -o pipefail; cd e2e/cluster && $(GO) test -count=1 -timeout $(E2E_TIMEOUT) -v -run '^TestRollcall$$' . 2>&1 | sed -u 's/^/rollcall | /'
e2e-others:
	@set -o pipefail; cd e2e/cluster && $(GO) test -count=1 -p 1 -timeout $(E2E_TIMEOUT) -v -skip '^TestRollcall$$' ./... 2>&1 | sed -u 's/^/others   | /'

cluster: ## run a real Kubernetes cluster with Rollcall on this machine, as root, until Ctrl-C; CLUSTER=--help
	cd e2e/cluster && $(GO) build -o ../../bin/rollcall-cluster . && exec ../../bin/rollcall-cluster --tag $(VERSION) $(CLUSTER)

check: ## check what needs no test run: gofmt and go vet
	@unformatted=$$(gofmt -l .); if [ -n "$$unformatted" ]; then \
		echo "not formatted; run gofmt -w on:" >&2; echo "$$unformatted" >&2; exit 1; fi
	$(GO) vet ./...

lint: ## run golangci-lint; the first time it compiles for minutes
	$(GO) run $(GOLANGCI_LINT) run ./...
	cd e2e/cluster && $(GO) run $(GOLANGCI_LINT) run ./...

bench: ## run the benchmarks, or those that match BENCH
	$(GO) test -run '^$$' -bench '$(BENCH)' -benchmem -timeout $(BENCH_TIMEOUT) ./...

bench-agent: build ## measure the agent against its targets (docs/bench/agent.json), some minutes
	$(GO) run ./e2e/bench --agent bin/rollcall-agent --json docs/bench/agent.json

bench-fleet: build ## measure the aggregator among 5000 nodes (docs/bench/fleet.json), a quarter of an hour
	$(GO) run ./e2e/bench/fleet --aggregator bin/rollcall-aggregator --json docs/bench/fleet.json

soak: ## drive the ring with random operations and faults for SOAK (1h)
	ROLLCALL_SOAK=$(SOAK) $(GO) test -run Metamorphic -count=1 -timeout 0 -v ./agent/ring

images: ## build the images for amd64 and arm64 with buildah or docker
	@[ -n "$(IMAGE_BUILDER)" ] || { echo "make images needs buildah (apt-get install buildah) or docker" >&2; exit 1; }
	@set -e; for arch in $(ARCHES); do for name in agent aggregator; do \
		echo "rollcall-$$name $(VERSION) for $$arch"; \
		GOOS=linux GOARCH=$$arch $(GOBUILD) -o bin/linux-$$arch/rollcall-$$name ./$$name; \
		$(IMAGE_BUILDER) build --platform linux/$$arch \
			--build-arg TARGETARCH=$$arch --build-arg VERSION=$(VERSION) \
			-f Dockerfile.$$name -t $(IMAGE_PREFIX)rollcall-$$name:$(VERSION)-$$arch .; \
	done; done

# protoc comes from the system (apt-get install protobuf-compiler), its Go
# plugin from go.mod, so that code and runtime are of the same version.
generate: ## generate Go from pkg/wire/*.proto, and the OpenAPI of metrics.k8s.io
	@command -v protoc >/dev/null || { echo "make generate needs protoc (apt-get install protobuf-compiler)" >&2; exit 1; }
	$(GO) build -o bin/tools/protoc-gen-go google.golang.org/protobuf/cmd/protoc-gen-go
	PATH="$(CURDIR)/bin/tools:$$PATH" $(GO) generate ./pkg/wire
	$(GO) run k8s.io/kube-openapi/cmd/openapi-gen@$$($(GO) list -m -f '{{.Version}}' k8s.io/kube-openapi) \
		--output-dir aggregator/resource/openapi --output-pkg github.com/rollcall-metrics/rollcall/aggregator/resource/openapi \
		--output-file zz_generated.go --report-filename /dev/null $(OPENAPI_OF)

clean: ## remove what was built
	rm -rf bin
