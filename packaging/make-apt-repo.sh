#!/usr/bin/env bash
# Makes a signed apt repository of the packages in a folder: make-apt-repo.sh PACKAGES-FOLDER REPOSITORY-FOLDER.
# The key is made at the first time, in APT_KEY_HOME (~/.local/share/edgestream/apt-key). Whoever has it can have a device install
# anything: keep it, and keep it to yourself.
set -euo pipefail
packages=$1 repository=$2
home=${APT_KEY_HOME:-$HOME/.local/share/edgestream/apt-key}
owner='EdgeStream packages <packages@edgestream.invalid>'

mkdir -p "$home"
chmod 700 "$home"
sign() { gpg --homedir "$home" --batch --quiet "$@"; }
if ! sign --list-secret-keys "$owner" >/dev/null 2>&1; then
    sign --passphrase '' --quick-generate-key "$owner" ed25519 sign never
    echo "a new key is in $home; keep a copy of it" >&2
fi

rm -rf "$repository"
mkdir -p "$repository/pool"
cp "$packages"/*.deb "$repository/pool/"
cd "$repository"
for arch in amd64 arm64; do
    binary=dists/stable/main/binary-$arch
    mkdir -p "$binary"
    apt-ftparchive --arch "$arch" packages pool >"$binary/Packages"
    gzip -9nk "$binary/Packages"
done
apt-ftparchive -o APT::FTPArchive::Release::Origin=EdgeStream -o APT::FTPArchive::Release::Suite=stable \
    -o APT::FTPArchive::Release::Codename=stable -o APT::FTPArchive::Release::Components=main \
    -o 'APT::FTPArchive::Release::Architectures=amd64 arm64' release dists/stable >Release
mv Release dists/stable/
sign --yes --clearsign -o dists/stable/InRelease dists/stable/Release
sign --yes --armor --detach-sign -o dists/stable/Release.gpg dists/stable/Release
sign --export "$owner" >edgestream.gpg
echo "$repository is ready; its key is edgestream.gpg"
