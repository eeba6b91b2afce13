#!/usr/bin/env bash
# Puts a native build into a Debian package: make-deb.sh PUBLISHED-FOLDER OUTPUT-FOLDER; prints the package's path.
# DEB_VERSION, DEB_MAINTAINER and DEB_COMPRESSION go before what it finds. The same commit makes the same bytes.
set -euo pipefail
cd "$(dirname "$0")/.."
published=$1 output=$2
maintainer=${DEB_MAINTAINER:-EdgeStream <maintainers@edgestream.invalid>}

case $(od -An -tu2 -j18 -N2 "$published/edgestream" | tr -d ' ') in
    62) arch=amd64 ;;
    183) arch=arm64 ;;
    *) echo "$published/edgestream is for no architecture that Debian has here" >&2; exit 1 ;;
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
    sed -e "s|@VERSION@|$version|" -e "s|@ARCH@|$arch|" -e "s|@MAINTAINER@|$maintainer|" \
        -e "s|@DATE@|$(LC_ALL=C date -Ru -d "@$SOURCE_DATE_EPOCH")|" -e "s|@SIZE@|$(du -sk --apparent-size "$root" | cut -f1)|" "$@"
}

doc=$root/usr/share/doc/edgestream
mkdir -p "$doc" "$root/usr/share/man/man1"
install -D -m 755 "$published/edgestream" "$root/usr/bin/edgestream"
install -D -m 644 packaging/deb/edgestream.toml "$root/etc/edgestream/edgestream.toml"
install -d "$root/etc/edgestream/edgestream.d"
install -D -m 644 -t "$root/lib/systemd/system" packaging/systemd/*.service
install -D -m 644 packaging/deb/sysusers.conf "$root/usr/lib/sysusers.d/edgestream.conf"
install -D -m 644 packaging/deb/udev.rules "$root/lib/udev/rules.d/60-edgestream-gpio.rules"
install -D -m 644 packaging/deb/bash-completion "$root/usr/share/bash-completion/completions/edgestream"
install -D -m 644 packaging/deb/lintian-overrides "$root/usr/share/lintian/overrides/edgestream"
install -m 644 packaging/deb/copyright "$doc/copyright"
gzip -9n <"$published/THIRD-PARTY-NOTICES.TXT" >"$doc/THIRD-PARTY-NOTICES.gz"
fill packaging/deb/edgestream.1 | gzip -9n >"$root/usr/share/man/man1/edgestream.1.gz"
fill packaging/deb/changelog | gzip -9n >"$doc/changelog.gz"

mkdir "$root/DEBIAN"
echo /etc/edgestream/edgestream.toml >"$root/DEBIAN/conffiles"
install -m 755 -t "$root/DEBIAN" packaging/deb/{postinst,prerm,postrm}
fill packaging/deb/control >"$root/DEBIAN/control"
(cd "$root" && find etc lib usr -type f -print0 | LC_ALL=C sort -z | xargs -0 md5sum) >"$root/DEBIAN/md5sums"

mkdir -p "$output"
package=$output/edgestream_${version}_$arch.deb
dpkg-deb --root-owner-group -Z"${DEB_COMPRESSION:-xz}" --threads-max=1 -b "$root" "$package" >&2
echo "$package"
