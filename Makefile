# What a person needs: 'make demo' to see it, 'make test' to trust it.

RID           ?= linux-x64
CONFIGURATION ?= Release
ARTIFACTS     := artifacts
JETSTREAM     ?= false
AOT           := $(ARTIFACTS)/aot/$(RID)/edgestream

.PHONY: build demo cluster-demo test cluster-faults soak e2e bench aot aot-hub deb deb-hub apt-repo fmt clean tools-aot

build:
	dotnet build EdgeStream.sln -c $(CONFIGURATION) --nologo

# DEMO_SECONDS=20 makes it end by itself with a summary. EDGESTREAM=path runs another build of the agent, for instance make aot's.
demo:
	dotnet build tests/Demo -c $(CONFIGURATION) --nologo -v quiet
	dotnet run --project tests/Demo -c $(CONFIGURATION) --no-build

# A data center's cluster and two edges on this machine, to try commands at. DEMO_SECONDS as above; EDGESTREAM's build must have JetStream.
cluster-demo:
	@packaging/install-tools.sh nats-server:nats-server
	dotnet build tests/ClusterDemo -c $(CONFIGURATION) --nologo -v quiet
	dotnet run --project tests/ClusterDemo -c $(CONFIGURATION) --no-build

test:
	tests/run.sh

# Each process of a cluster killed, frozen and cut off, and the table of how long writing waited. Needs root; 'make test' has a part of it.
cluster-faults:
	tests/cluster-faults.sh

# Everything that can go wrong, in random order, for SOAK_MINUTES (30); 'make test' has a minute of it. EDGESTREAM_SEED repeats one.
soak:
	tests/soak.sh

# An arm64 board in a virtual machine: the package, GPIO, power cuts. Needs root; E2E_CUTS=100 cuts more often.
e2e:
	packaging/e2e/run.sh

bench:
	@packaging/install-tools.sh nats-server:nats-server mosquitto:mosquitto iproute2:ss
	dotnet run --project tests/Benchmarks -c Release

# JETSTREAM=true: with NATS JetStream, for a hub; five megabytes more.
aot: tools-aot
	JETSTREAM=$(JETSTREAM) packaging/publish-aot.sh $(RID) $(ARTIFACTS)/aot/$(RID)
	@ls -l $(AOT)

# What goes into the package for data centers.
aot-hub: tools-aot
	JETSTREAM=true packaging/publish-aot.sh $(RID) $(ARTIFACTS)/aot-hub/$(RID)

# Packages for both architectures; RID=linux-arm64 makes one. What 'make aot' has built already is taken as it is.
DEB_RIDS      := $(if $(filter command line environment,$(origin RID)),$(RID),linux-x64 linux-arm64)

deb:
	@for rid in $(DEB_RIDS); do \
		[ -x $(ARTIFACTS)/aot/$$rid/edgestream ] || $(MAKE) aot RID=$$rid || exit 1; \
		packaging/make-deb.sh $(ARTIFACTS)/aot/$$rid $(ARTIFACTS)/deb || exit 1; \
	done

# The same for data centers: with NATS JetStream, and the units of a cluster.
deb-hub:
	@for rid in $(DEB_RIDS); do \
		[ -x $(ARTIFACTS)/aot-hub/$$rid/edgestream ] || $(MAKE) aot-hub RID=$$rid || exit 1; \
		packaging/make-deb.sh $(ARTIFACTS)/aot-hub/$$rid $(ARTIFACTS)/deb edgestream-hub || exit 1; \
	done

# A folder that any web server can serve to apt; docs/operations.md says how to use it.
apt-repo: deb
	@packaging/install-tools.sh apt-utils:apt-ftparchive gnupg:gpg
	packaging/make-apt-repo.sh $(ARTIFACTS)/deb $(ARTIFACTS)/apt

fmt:
	dotnet format EdgeStream.sln

clean:
	rm -rf $(ARTIFACTS)
	find . -type d \( -name bin -o -name obj \) -prune -exec rm -rf {} +

# The native linker and zlib's headers; for boards, the cross compiler.
tools-aot:
	@packaging/install-tools.sh gcc:gcc zlib1g-dev:/usr/include/zlib.h \
		$(if $(filter linux-arm64,$(RID)),gcc-aarch64-linux-gnu:aarch64-linux-gnu-gcc libc6-dev-arm64-cross:/usr/aarch64-linux-gnu/include/stdio.h)
