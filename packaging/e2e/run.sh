#!/usr/bin/env bash
# An arm64 board in a virtual machine, with the arm64 package, against a hub on this machine. Needs root. E2E_CUTS (40) is how often its
# power is cut, E2E_SEED repeats when. Downloads and images stay in artifacts/e2e; what went wrong can be looked at in artifacts/e2e/run.
set -euo pipefail
cd "$(dirname "$0")/../.."
cache=$PWD/artifacts/e2e

packaging/install-tools.sh qemu-system-arm:qemu-system-aarch64 qemu-user-static:qemu-aarch64-static mmdebstrap:mmdebstrap arch-test:arch-test \
    e2fsprogs:mke2fs kmod:depmod cpio:cpio make:make gcc-aarch64-linux-gnu:aarch64-linux-gnu-gcc gcc-12-aarch64-linux-gnu:aarch64-linux-gnu-gcc-12 \
    python3:python3 mosquitto-clients:mosquitto_pub coreutils:stdbuf

mkdir -p "$cache"
[ -e "$cache/kernel/release" ] || packaging/e2e/fetch-kernel.sh "$cache/kernel"
[ -e "$cache/kernel/gpio-sim.ko" ] || packaging/e2e/build-gpio-sim.sh "$cache/kernel"
[ -e "$cache/kernel/raspberry-pi/initrd" ] || packaging/e2e/make-initrd.sh "$cache/kernel/raspberry-pi"
[ -e "$cache/debian.tar" ] || packaging/e2e/make-debian.sh "$cache/debian.tar"

# The package as it is shipped; the hub as the tests run it, or another build of it.
make --no-print-directory deb RID=linux-arm64
package=$(ls -t artifacts/deb/edgestream_*_arm64.deb | head -n 1)
if [ -z "${EDGESTREAM:-}" ]; then
    dotnet build agent -c Release --nologo -v quiet
    EDGESTREAM=$PWD/agent/bin/Release/net10.0/edgestream
fi
packaging/e2e/make-disk.sh "$cache/debian.tar" "$cache/kernel" "$package" "$cache/disk.img"

exec python3 packaging/e2e/e2e.py --hub-program "$EDGESTREAM" --kernel "$cache/kernel" --disk "$cache/disk.img" --folder "$cache/run" "$@"
