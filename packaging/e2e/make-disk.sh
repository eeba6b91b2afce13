#!/usr/bin/env bash
# The board's disk before its first start: make-disk.sh DEBIAN-TARBALL KERNEL-FOLDER PACKAGE IMAGE. The package lies on it, not installed.
set -euo pipefail
tarball=$1 kernel=$2 package=$3 image=$4
here=$(dirname "$0")
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT

tar -C "$root" -xf "$tarball"
release=$(cat "$kernel/release")
mkdir -p "$root/usr/lib/modules"
cp -a "$kernel/image/lib/modules/$release" "$root/usr/lib/modules/"
install -D -m 644 "$kernel/gpio-sim.ko" "$root/usr/lib/modules/$release/extra/gpio-sim.ko"
PATH="$PATH:/sbin:/usr/sbin" depmod -b "$root" "$release"
cp "$package" "$root/root/edgestream.deb"

# The shell that the test talks to, the simulated chip, the network.
install -D -m 644 -t "$root/etc/systemd/system" "$here"/guest/*.service
install -D -m 644 -t "$root/etc/systemd/network" "$here"/guest/*.network
install -D -m 755 -t "$root/usr/local/sbin" "$here"/guest/simulated-pi "$here"/guest/pulse
install -D -m 644 "$here/guest/timesyncd.conf" "$root/etc/systemd/timesyncd.conf"
install -D -m 644 "$here/guest/e2e.toml" "$root/root/e2e.toml"
printf '%s\n' virtio_pci virtio_console virtio_net virtio_rng >"$root/etc/modules-load.d/virtio.conf"
echo board >"$root/etc/hostname"
: >"$root/etc/machine-id"
: >"$root/etc/fstab"
units=$root/etc/systemd/system
mkdir -p "$units/multi-user.target.wants"
ln -sf ../simulated-pi.service "$units/multi-user.target.wants/"
ln -sf /lib/systemd/system/systemd-networkd.service "$units/multi-user.target.wants/"

# What a board has and this test does not need: three quarters of the time to boot without hardware virtualisation.
rm -f "$units"/*.wants/systemd-timesyncd.service
for unit in getty@tty1.service console-getty.service serial-getty@hvc0.service serial-getty@ttyAMA0.service systemd-logind.service \
    systemd-update-utmp.service systemd-update-utmp-runlevel.service systemd-user-sessions.service modprobe@.service \
    dev-hugepages.mount dev-mqueue.mount sys-kernel-debug.mount sys-kernel-tracing.mount sys-fs-fuse-connections.mount \
    systemd-pstore.service systemd-random-seed.service proc-sys-fs-binfmt_misc.automount systemd-binfmt.service \
    systemd-sysusers.service systemd-sysctl.service kmod-static-nodes.service systemd-hwdb-update.service systemd-journal-catalog-update.service systemd-firstboot.service ldconfig.service \
    systemd-ask-password-console.path systemd-ask-password-wall.path systemd-tmpfiles-clean.timer systemd-networkd-wait-online.service \
    apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer; do
    ln -sf /dev/null "$units/$unit"
done
# systemd.wants= is the debug generator's.
for generator in cryptsetup integritysetup veritysetup gpt-auto hibernate-resume rc-local sysv run system-update bless-boot; do
    rm -f "$root/usr/lib/systemd/system-generators/systemd-$generator-generator"
done
mkdir -p "$units/systemd-udev-trigger.service.d"
cat >"$units/systemd-udev-trigger.service.d/few.conf" <<'UNIT'
[Service]
ExecStart=
ExecStart=-udevadm trigger --type=devices --action=add --subsystem-match=tty --sysname-match=hvc0 --sysname-match=ttyS1
ExecStart=-udevadm trigger --type=devices --action=add --subsystem-match=net --subsystem-match=gpio --subsystem-match=virtio --subsystem-match=pci
UNIT

rm -f "$image"
# A card has a power of two; most of it is a hole.
truncate -s 2G "$image"
PATH="$PATH:/sbin:/usr/sbin" mke2fs -q -t ext4 -d "$root" "$image"
