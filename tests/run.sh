#!/usr/bin/env bash
# Installs what the tests need, builds, runs every test project, and ends with "N passed, N failed".
set -uo pipefail
cd "$(dirname "$0")/.."

packaging/install-tools.sh mosquitto:mosquitto mosquitto-clients:mosquitto_pub nats-server:nats-server iproute2:ip nftables:nft util-linux:nsenter e2fsprogs:mkfs.ext4 strace:strace \
    systemd-container:systemd-nspawn mmdebstrap:mmdebstrap lintian:lintian apt-utils:apt-ftparchive gnupg:gpg \
    qemu-user-static:qemu-aarch64-static libc6-arm64-cross:/usr/aarch64-linux-gnu/lib/libc.so.6 || exit 1
dotnet build EdgeStream.sln -c Release --nologo -v quiet || exit 1

results=artifacts/test-results
rm -rf "$results"
mkdir -p "$results"
passed=0 failed=0 skipped=0
for project in tests/*.Tests; do
    name=$(basename "$project")
    echo "== $name"
    # A test that hangs says so here, instead of letting the whole run wait.
    timeout --kill-after=10s "${TEST_TIMEOUT:-900}" \
        "$project/bin/Release/net10.0/EdgeStream.$name" -noLogo -noColor -xml "$results/$name.xml" "$@" \
        2>&1 | tee "$results/$name.log" || status=$?
    totals=$(grep -o '<assembly [^>]*' "$results/$name.xml" 2>/dev/null | head -n 1)
    count() { sed -n "s/.* $1=\"\([0-9]*\)\".*/\1/p" <<<"$totals"; }
    if [ -z "$totals" ]; then
        echo "$name ended without a result (exit code ${status:-0})"
        failed=$((failed + 1))
    else
        passed=$((passed + $(count passed)))
        failed=$((failed + $(count failed) + $(count errors)))
        skipped=$((skipped + $(count skipped)))
    fi
    unset status
done

if [ $((passed + failed)) -eq 0 ]; then
    echo "no test ran"
    exit 1
fi
# Again at the end, where whoever sees only the last lines of a long run looks first.
grep -h -A 15 '\[FAIL\]' "$results"/*.log
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
