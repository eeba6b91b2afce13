#!/usr/bin/env bash
# Runs the soak for SOAK_MINUTES (30). Needs root.
set -euo pipefail
cd "$(dirname "$0")/.."

packaging/install-tools.sh iproute2:ip nftables:nft util-linux:nsenter
dotnet build tests/Network.Tests -c Release --nologo -v quiet
export SOAK_MINUTES=${SOAK_MINUTES:-30}
exec tests/Network.Tests/bin/Release/net10.0/EdgeStream.Network.Tests \
    -noLogo -noColor -class EdgeStream.Network.Tests.SoakTests "$@"
