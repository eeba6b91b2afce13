#!/usr/bin/env bash
# Publishes the native build: publish-aot.sh RID OUTPUT. Fails on any trim or AOT warning that is not explained here. JETSTREAM=true puts NATS
# JetStream into it, which only a hub can use.
set -uo pipefail
cd "$(dirname "$0")/.."
rid=$1 output=$2

# LiteDB: its expressions are compiled at run time, which native builds interpret. Ours are "all" and "by id".
# System.Device.Gpio: one Marshal.PtrToStructure<T>, over structs that its own code keeps.
known='LiteDB System.Device.Gpio'

log=$(mktemp)
trap 'rm -f "$log"' EXIT
dotnet publish agent -c Release -r "$rid" -o "$output" -p:JetStream="${JETSTREAM:-false}" --nologo 2>&1 | tee "$log"
status=${PIPESTATUS[0]}
[ "$status" -eq 0 ] || exit "$status"

unexplained=0
while read -r warning; do
    assembly=$(sed -n "s/.*Assembly '\([^']*\)'.*/\1/p" <<<"$warning")
    if ! grep -qw -- "${assembly:-none}" <<<"$known"; then
        echo "unexplained: $warning" >&2
        unexplained=1
    fi
done < <(grep -E 'warning IL[0-9]+' "$log")
exit $unexplained
