#!/usr/bin/env bash
# Installs Debian packages where what they bring is missing: install-tools.sh PACKAGE:COMMAND-OR-FILE...
set -euo pipefail

missing=()
for entry in "$@"; do
    package=${entry%%:*}
    proof=${entry#*:}
    # Programs in sbin are not on everybody's path.
    if ! PATH="$PATH:/usr/sbin:/sbin" command -v "$proof" >/dev/null && [ ! -e "$proof" ]; then
        missing+=("$package")
    fi
done
[ ${#missing[@]} -eq 0 ] && exit 0

as_root=
[ "$(id -u)" -eq 0 ] || as_root=sudo
echo "installing: ${missing[*]}" >&2
$as_root env DEBIAN_FRONTEND=noninteractive sh -c \
    'apt-get update -qq && apt-get install -y -qq --no-install-recommends "$@"' sh "${missing[@]}" >&2
