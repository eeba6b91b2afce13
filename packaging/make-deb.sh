#!/usr/bin/env bash
# Puts a native build into a Debian package: make-deb.sh PUBLISHED-FOLDER OUTPUT-FOLDER [edgestream|edgestream-hub]; prints the package's
# path. edgestream is for devices; edgestream-hub is for data centers, of a build with JETSTREAM=true.
# DEB_VERSION, DEB_MAINTAINER and DEB_COMPRESSION go before what it finds. The same commit makes the same bytes.
set -euo pipefail
cd "$(dirname "$0")/.."
published=$1 output=$2 name=${3:-edgestream}
maintainer=${DEB_MAINTAINER:-EdgeStream <maintainers@edgestream.invalid>}

case $(od -An -tu2 -j18 -N2 "$published/edgestream" | tr -d ' ') in
    62) arch=amd64 ;;
    183) arch=arm64 ;;
    *) echo "$published/edgestream is for no architecture that Debian has here" >&2; exit 1 ;;
esac

case $name in
    edgestream) scripts=packaging/deb configuration=(packaging/deb/edgestream.toml) units=(edgestream{,-hub}.service) ;;
    edgestream-hub) scripts=packaging/deb/hub configuration=(packaging/deb/hub/{sc,spu}.toml) units=(edgestream-{hub,sc,spu}.service) ;;
    *) echo "there is no package $name; there are edgestream and edgestream-hub" >&2; exit 1 ;;
esac

# The version stands in Directory.Build.props. What is not exactly that release says which commit it is.
version=${DEB_VERSION:-}
if [ -z "$version" ]; then
    version=$(sed -n 's:.*<Version>\(.*\)</Version>.*:\1:p' Directory.Build.props)
    if [ "$(git describe --exact-match --tags 2>/dev/null)" != "v$version" ]; then
        version+="+git$(TZ=UTC git log -1 --date=format-local:%Y%m%d%H%M%S --format=%cd.%h)"
    fi
fi
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}

umask 022
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
chmod 755 "$root"

fill() {
    sed -e "s|@PACKAGE@|$name|" -e "s|@VERSION@|$version|" -e "s|@ARCH@|$arch|" -e "s|@MAINTAINER@|$maintainer|" \
        -e "s|@DATE@|$(LC_ALL=C date -Ru -d "@$SOURCE_DATE_EPOCH")|" -e "s|@SIZE@|$(du -sk --apparent-size "$root" | cut -f1)|" "$@"
}

doc=$root/usr/share/doc/$name
mkdir -p "$doc" "$root/usr/share/man/man1"
install -D -m 755 "$published/edgestream" "$root/usr/bin/edgestream"
install -D -m 644 -t "$root/etc/edgestream" "${configuration[@]}"
install -D -m 644 -t "$root/lib/systemd/system" "${units[@]/#/packaging/systemd/}"
install -D -m 644 "$scripts/sysusers.conf" "$root/usr/lib/sysusers.d/$name.conf"
if [ "$name" = edgestream ]; then
    install -d "$root/etc/edgestream/edgestream.d"
    install -D -m 644 packaging/deb/udev.rules "$root/lib/udev/rules.d/60-edgestream-gpio.rules"
fi
install -D -m 644 packaging/deb/bash-completion "$root/usr/share/bash-completion/completions/edgestream"
mkdir -p "$root/usr/share/lintian/overrides"
fill packaging/deb/lintian-overrides >"$root/usr/share/lintian/overrides/$name"
install -m 644 packaging/deb/copyright "$doc/copyright"
gzip -9n <"$published/THIRD-PARTY-NOTICES.TXT" >"$doc/THIRD-PARTY-NOTICES.gz"
fill packaging/deb/edgestream.1 | gzip -9n >"$root/usr/share/man/man1/edgestream.1.gz"
fill packaging/deb/changelog | gzip -9n >"$doc/changelog.gz"

mkdir "$root/DEBIAN"
printf '/etc/edgestream/%s\n' "${configuration[@]##*/}" >"$root/DEBIAN/conffiles"
install -m 755 -t "$root/DEBIAN" "$scripts"/{postinst,prerm,postrm}
fill "$scripts/control" >"$root/DEBIAN/control"
(cd "$root" && find etc lib usr -type f -print0 | LC_ALL=C sort -z | xargs -0 md5sum) >"$root/DEBIAN/md5sums"

mkdir -p "$output"
package=$output/${name}_${version}_$arch.deb
dpkg-deb --root-owner-group -Z"${DEB_COMPRESSION:-xz}" --threads-max=1 -b "$root" "$package" >&2
echo "$package"
