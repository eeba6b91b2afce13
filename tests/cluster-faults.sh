#!/usr/bin/env bash
# Kills, freezes and cuts off the processes of a cluster, all ways, and prints the table of how long writing and mirroring waited. Needs root.
set -uo pipefail
cd "$(dirname "$0")/.."

packaging/install-tools.sh nats-server:nats-server iproute2:ip util-linux:nsenter || exit 1
dotnet build tests/ClusterFaults.Tests -c Release --nologo -v quiet || exit 1
mkdir -p artifacts
export CLUSTER_FAULTS_TABLE=$PWD/artifacts/cluster-faults.md
rm -f "$CLUSTER_FAULTS_TABLE"
tests/ClusterFaults.Tests/bin/Release/net10.0/EdgeStream.ClusterFaults.Tests -noLogo -noColor -explicit on "$@"
status=$?
echo
echo "| what | writing waited | mirroring waited | writing, when it was back | mirroring, when it was back |"
echo "|---|---:|---:|---:|---:|"
cat "$CLUSTER_FAULTS_TABLE"
exit $status
