#!/usr/bin/env bash
# Data directories of an edge and a hub, written by an earlier commit's program: tests/golden/make-data.sh COMMIT makes
# tests/golden/data/COMMIT. GoldenDataTests opens them with the program of today.
set -euo pipefail
cd "$(dirname "$0")/../.."
commit=$(git rev-parse --short=7 "$1^{commit}")
output=$PWD/tests/golden/data/$commit
work=$(mktemp -d)
edge= hub=
cleanup() {
    kill $edge $hub 2>/dev/null || true
    git worktree remove --force "$work/source" 2>/dev/null || true
    rm -rf "$work"
}
trap cleanup EXIT

git worktree add --quiet --detach "$work/source" "$commit"
dotnet build "$work/source/agent" -c Release --nologo -v quiet -o "$work/program"
export PATH="$work/program:$PATH"

cat >"$work/edge.toml" <<'TOML'
[[topic]]
name = "readings"
mirror = true

[[topic]]
name = "packed"
mirror = true
compression = "zstd"

[[topic]]
name = "local"
partitions = 2
retention = { age = "3650d" }

[[sink.gpio]]
chip = "simulated"
line = 5
topic = "commands"

[uplink]
progress-timeout = "3s"
max-backoff = "1s"
TOML

port=$((20000 + RANDOM % 10000))
at_edge="--socket $work/edge.sock"
at_hub="--socket $work/hub.sock"

start_edge() {
    edgestream run --config "$work/edge.toml" --data "$work/edge" --socket "$work/edge.sock" --http none >>"$work/edge.log" 2>&1 &
    edge=$!
    until edgestream status $at_edge >/dev/null 2>&1; do sleep 0.2; done
}

# Certificates last as long as they can; the program of today has to cope with those that do not, and other tests see to that.
start_hub() {
    edgestream hub --data "$work/hub" --socket "$work/hub.sock" --listen "127.0.0.1:$port" --certificate-life 3650d --http none >>"$work/hub.log" 2>&1 &
    hub=$!
    until edgestream status $at_hub >/dev/null 2>&1; do sleep 0.2; done
}

# stop PID: as systemd does it.
stop() {
    kill "$1"
    wait "$1"
}

# produce TOPIC FIRST LAST: a batch for each call.
produce() {
    for ((i = $2; i <= $3; i++)); do echo "sensor-$((i % 7)):{\"reading\":$i}"; done | edgestream produce "$1" --key-separator : "${@:4}" $at_edge
}

# mirrored TOPIC: until the hub has all of it.
mirrored() {
    until [ "$(edgestream consume "$1" -B -d $at_edge | wc -l)" = "$(edgestream consume "$1" --geo berlin-7 -B -d $at_hub 2>/dev/null | wc -l)" ]; do sleep 0.2; done
}

start_hub
start_edge
edgestream join "127.0.0.1:$port" --token "$(edgestream geo invite berlin-7 $at_hub | tail -n 1)" $at_edge
edgestream geo invite oslo-2 $at_hub >/dev/null
produce readings 1 100
produce packed 1 100
produce local 1 10 --partition 1
mirrored readings
mirrored packed

# What flows down: two commands that the sink has acted on, and one that expired before the edge came for it.
edgestream topic create commands --down --ttl 3650d $at_hub
printf 'on\noff\n' | edgestream produce commands --geo berlin-7 $at_hub
until grep -q 'simulated/5 is off' "$work/edge.log"; do sleep 0.2; done
stop $edge
echo late | edgestream produce commands --geo berlin-7 --ttl 1s $at_hub
sleep 2
start_edge
printf 'on\n' | edgestream produce commands --geo berlin-7 $at_hub
until [ "$(grep -c 'simulated/5 is on' "$work/edge.log")" -ge 2 ]; do sleep 0.2; done

# How far groups have read, where there are groups.
if edgestream consume --help | grep -q -- --group; then
    edgestream consume readings --group billing -B -n 40 $at_edge >/dev/null
    edgestream consume readings --group audit -B -n 30 $at_hub >/dev/null
    edgestream consumer list -o json $at_edge >"$work/groups-edge.json"
    edgestream consumer list -o json $at_hub >"$work/groups-hub.json"
fi

# A gap in what the hub does not have yet.
stop $hub
for first in 101 111 121; do produce readings "$first" $((first + 9)); done
stop $edge
segment=$(ls "$work"/edge/topics/readings/0/*.log | tail -n 1)
position=$(edgestream log dump "$segment" --batches -o json | sed -n 's/.*"position":\([0-9]*\),"baseOffset":110,.*/\1/p')
printf '\377\377\377\377' | dd of="$segment" bs=1 seek=$((position + 70)) conv=notrunc status=none
edgestream log repair --data "$work/edge"
start_hub
start_edge
until edgestream gaps readings $at_hub | grep -qi damage; do sleep 0.2; done
mirrored readings

# And a backlog that it does not have.
stop $hub
produce readings 131 150

rm -rf "$output"
mkdir -p "$output"
cp "$work"/edge.toml "$work"/groups-*.json "$output/" 2>/dev/null || cp "$work/edge.toml" "$output/"
for topic in readings packed commands; do
    edgestream consume $topic -B -d -o json $at_edge >"$output/$topic.json"
done
edgestream consume local --partition 1 -B -d -o json $at_edge >"$output/local.json"
edgestream gaps -o json $at_edge >"$output/gaps.json"
stop $edge
for node in edge hub; do
    tar -C "$work" --sort=name --owner=0 --group=0 --numeric-owner -cf - "$node" | gzip -9n >"$output/$node.tar.gz"
done
du -sh "$output"
