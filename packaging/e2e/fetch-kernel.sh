#!/usr/bin/env bash
# Debian's arm64 kernels: the one for virtual machines, with what it takes to build a module for it, and in FOLDER/raspberry-pi the one
# for boards, with what an initial ramdisk needs: fetch-kernel.sh FOLDER.
# The first has NVMe, ext4 and the PL061 built in, so that it boots without an initial ramdisk.
set -euo pipefail
mkdir -p "$1"
folder=$(realpath "$1")
apt=$folder/apt
mkdir -p "$apt/lists/partial" "$apt/archives/partial"
touch "$apt/status"

# Package lists of its own: this machine's stay without a foreign architecture.
cat >"$apt/apt.conf" <<CONF
APT::Architecture "amd64";
APT::Architectures { "amd64"; "arm64"; };
Acquire::Languages "none";
Dir::State "$apt";
Dir::State::lists "$apt/lists";
Dir::State::status "$apt/status";
Dir::Cache "$apt";
Dir::Etc::sourcelist "/etc/apt/sources.list.d/debian.sources";
Dir::Etc::sourceparts "-";
APT::Sandbox::User "root";
CONF
export APT_CONFIG=$apt/apt.conf
apt-get update -qq

release=$(apt-cache depends linux-image-cloud-arm64:arm64 | sed -n 's/.*Depends: linux-image-\([0-9][^: ]*\).*/\1/p' | head -n 1)
[ -n "$release" ] || { echo "Debian has no linux-image-cloud-arm64 here" >&2; exit 1; }
series=${release%.*}
headers_common=linux-headers-${release%-cloud-arm64}-common

cd "$folder"
rm -f ./*.deb
boards=${release%-cloud-arm64}-arm64
apt-get download -qq "linux-image-$boards:arm64" busybox-static:arm64
mkdir -p raspberry-pi
dpkg -x linux-image-"$boards"_*.deb raspberry-pi/image
dpkg -x busybox-static_*.deb raspberry-pi/busybox
mv "raspberry-pi/image/boot/vmlinuz-$boards" raspberry-pi/vmlinuz
mv "raspberry-pi/image/usr/lib/linux-image-$boards/broadcom/bcm2837-rpi-3-b.dtb" raspberry-pi/
echo "$boards" >raspberry-pi/release
rm -f ./*.deb

apt-get download -qq "linux-image-$release:arm64" "linux-headers-$release:arm64" "$headers_common" "linux-kbuild-$series:amd64" "linux-source-$series"

for package in linux-image-*.deb; do dpkg -x "$package" image; done
for package in linux-headers-*.deb linux-kbuild-*.deb; do dpkg -x "$package" build; done
dpkg-deb --fsys-tarfile linux-source-*.deb | tar -xO --wildcards './usr/src/linux-source-*.tar.xz' |
    tar -xJ --strip-components=1 --one-top-level=source --wildcards '*/drivers/gpio/gpio-sim.c' '*/drivers/gpio/gpiolib.h' '*/kernel/irq/irq_sim.c'
cp "image/boot/vmlinuz-$release" vmlinuz
rm -f ./*.deb

# Last: where it is, all is.
echo "$release" >release
