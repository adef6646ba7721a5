#!/bin/bash
# The embedded demo: a private daemon under build/demo, three jobs on the little network of tests/data/demo, the table
# that compares them, and the daemon stopped.
set -eu
cd "$(dirname "$0")/.."
: "${BUILD:=build/release}"
root=$PWD
home=$root/build/demo
rm -rf "$home"
mkdir -p "$home"
export NETQ_SOCKET=$home/netq.sock
cat >"$home/netqd.conf" <<CONF
[daemon]
socket = $home/netq.sock
state = $home/state
[model demo]
arch = shufflenet_v2_x0_5
checkpoint = $root/tests/data/demo/shufflenet_v2_x0_5.pth
[dataset demo]
path = $root/tests/data/demo/images
CONF
"$BUILD/netqd" --config "$home/netqd.conf" 2>"$home/netqd.log" &
daemon=$!
trap 'kill $daemon 2>/dev/null; wait $daemon 2>/dev/null || true' EXIT
for _ in $(seq 100); do
    [ -S "$NETQ_SOCKET" ] && break
    kill -0 $daemon 2>/dev/null || { cat "$home/netqd.log" >&2; exit 1; }
    sleep 0.1
done
run() {
    echo "\$ netqctl submit --model demo --dataset demo $*"
    "$BUILD/netqctl" submit --model demo --dataset demo "$@" --wait
}
run --preset float
run --preset baseline
run --preset w4a4
echo
echo "\$ netqctl list"
"$BUILD/netqctl" list
echo
last=$("$BUILD/netqctl" list --json | python3 -c 'import json,sys; print(json.load(sys.stdin)["jobs"][-1]["job"])' 2>/dev/null || echo 3)
echo "\$ netqctl get $last | head -3"
"$BUILD/netqctl" get "$last" -o "$home/output.txt"
head -3 "$home/output.txt"
echo
echo "output.txt of the last job: $home/output.txt"
echo "all jobs, with their models and metrics: $home/state/jobs"
