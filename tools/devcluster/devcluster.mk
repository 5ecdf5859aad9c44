# A real one-node Kubernetes without Docker: docs/development.md.
.PHONY: cluster-build cluster-packages cluster-up cluster-control-plane cluster-down cluster-status images e2e

DEVCLUSTER := $(BIN)/python -m tools.devcluster

cluster-build: $(READY) ## build Kubernetes once into the cache: 15 minutes on two cores
	$(DEVCLUSTER) build

cluster-packages: $(READY) ## install the Debian packages that a node needs (root)
	$(DEVCLUSTER) packages

cluster-control-plane: cluster-build ## an API server with its controllers, no root, no node
	$(DEVCLUSTER) up

cluster-up: cluster-build images ## a one-node Kubernetes with two fake GPUs and the project's images (root)
	$(DEVCLUSTER) up --node

cluster-down: $(READY) ## remove it without a trace
	$(DEVCLUSTER) down

cluster-status: $(READY) ## what runs, what is left over, what is built
	$(DEVCLUSTER) status

images: $(READY) ## build the project's images and load them into running nodes (root)
	$(DEVCLUSTER) images

ifdef KUBECONTEXT
e2e: $(READY) ## the tests with real containers; KUBECONTEXT=… to use a cluster of your own
	KUBECONTEXT=$(KUBECONTEXT) $(BIN)/python -m pytest -m node $(ARGS)
else
e2e: cluster-packages cluster-build images
	$(BIN)/python -m pytest -m node $(ARGS)
endif
