#!/usr/bin/env bash
# An initial ramdisk that finds an SD card and starts what is on it: make-initrd.sh FOLDER, which fetch-kernel.sh filled.
# The kernel for boards has the card reader's driver and ext4 as modules only.
set -euo pipefail
folder=$(realpath "$1")
release=$(cat "$folder/release")
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
PATH="$PATH:/sbin:/usr/sbin"

mkdir "$root"/{bin,dev,proc,sys,card,modules}
cp "$folder"/busybox/bin/busybox "$root/bin/"
depmod -b "$folder/image" "$release"
# Each after those that it needs.
for module in sdhci_iproc bcm2835 mmc_block ext4; do
    modprobe -d "$folder/image" -S "$release" --show-depends "$module"
done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' | while read -r path; do
    cp "$path" "$root/modules/"
    basename "$path"
done >"$root/modules/order"

cat >"$root/init" <<'INIT'
#!/bin/busybox sh
export PATH=/bin
busybox mount -t proc proc /proc
busybox mount -t sysfs sysfs /sys
busybox mount -t devtmpfs devtmpfs /dev
while read -r module; do busybox insmod /modules/$module; done </modules/order
while [ ! -b /dev/mmcblk0 ]; do busybox sleep 0.1; done
busybox mount -t ext4 -o rw,noatime /dev/mmcblk0 /card
busybox umount /proc /sys
busybox mount --move /dev /card/dev
exec busybox switch_root /card /sbin/init
INIT
chmod 755 "$root/init"
(cd "$root" && find . | cpio --quiet -o -H newc | gzip -1) >"$folder/initrd"
