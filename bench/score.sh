#!/bin/bash
# Images a second of the integer network with one thread, for each set of kernels that this machine runs. With NETQ_SHARED
# the three real networks on its validation images, otherwise the demo's. LIMIT: how many images (200).
set -eu
cd "$(dirname "$0")/.."
: "${BUILD:=build/release}" "${LIMIT:=200}" "${NETQ_SHARED:=}"
root=$PWD
home=$(mktemp -d)
daemon=
trap '[ -z "$daemon" ] || { kill $daemon; wait $daemon; } 2>/dev/null || true; rm -rf "$home"' EXIT
export NETQ_SOCKET=$home/netq.sock
printf '[daemon]\nsocket = %s\nstate = %s/state\nthreads = 1\n' "$NETQ_SOCKET" "$home" >"$home/netqd.conf"
if [ -n "$NETQ_SHARED" ]; then
    models="resnet18 mobilenet_v2 shufflenet_v2_x1_0"
    for model in $models; do
        printf '[model %s]\ncheckpoint = %s/data/weights/%s-rebuilt.pth\n' $model "$NETQ_SHARED" $model
    done >>"$home/netqd.conf"
    printf '[dataset images]\npath = %s/data/val227\nwnids = %s/data/wnids.txt\n' "$NETQ_SHARED" "$NETQ_SHARED" >>"$home/netqd.conf"
else
    models=demo
    printf '[model demo]\narch = shufflenet_v2_x0_5\ncheckpoint = %s/tests/data/demo/shufflenet_v2_x0_5.pth\n' "$root" >>"$home/netqd.conf"
    printf '[dataset images]\npath = %s/tests/data/demo/images\n' "$root" >>"$home/netqd.conf"
fi
printf '%-20s %-12s %10s %20s\n' NETWORK KERNELS IMAGES/S "1,000 IMAGES TAKE S"
for kernels in c avx2 avxvnni avx512vnni amx; do
    NETQ_CPU=$kernels "$BUILD/netqd" --config "$home/netqd.conf" 2>"$home/netqd.log" &
    daemon=$!
    for _ in $(seq 100); do
        "$BUILD/netqctl" status >/dev/null 2>&1 && break
        kill -0 $daemon 2>/dev/null || { cat "$home/netqd.log" >&2; exit 1; }
        sleep 0.1
    done
    for model in $models; do
        job=$("$BUILD/netqctl" submit --model $model --dataset images --calibrate-samples 8 --limit "$LIMIT" --parsable)
        if ! "$BUILD/netqctl" wait -q "$job"; then
            printf '%-20s %-12s not run here: %s\n' $model $kernels "$("$BUILD/netqctl" logs "$job" | tail -1)"
            continue
        fi
        "$BUILD/netqctl" get "$job" metrics.json | tr -d '\n' |
            sed -E 's/.*"kernels": *"([^"]*)".*"images_per_second": *([0-9.eE+]+).*/\1 \2/' |
            awk -v model=$model '{printf "%-20s %-12s %10.1f %20.1f\n", model, $1, $2, 1000 / $2}'
    done
    kill $daemon
    wait $daemon || true
    daemon=
done
