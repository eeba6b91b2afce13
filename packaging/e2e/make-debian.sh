#!/usr/bin/env bash
# A small Debian 12 for arm64, without a kernel: make-debian.sh TARBALL. Its packages' scripts run under qemu's user emulation.
set -euo pipefail
formats=/proc/sys/fs/binfmt_misc
if [ ! -e $formats/qemu-aarch64 ]; then
    [ -e $formats/register ] || mount -t binfmt_misc binfmt_misc $formats
    trap 'echo -1 >$formats/qemu-aarch64' EXIT
    tr -d '\n' </usr/lib/binfmt.d/qemu-aarch64.conf >$formats/register
fi

# Under another name first: one that is there is whole.
mmdebstrap --quiet --arch=arm64 --variant=minbase --dpkgopt=force-unsafe-io --dpkgopt='path-exclude=/usr/share/doc/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --include=systemd,systemd-sysv,systemd-timesyncd,udev,dbus,kmod,libssl3,init-system-helpers,gpiod \
    bookworm "$1.part.tar"
mv "$1.part.tar" "$1"
