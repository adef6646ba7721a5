#!/bin/bash
# The comparison with PyTorch on real weights; one TAP line a check.
#   run.sh        everything, skips nothing: `make parity NETQ_SHARED=DIR [DATA=IMAGEFOLDER]`
#   run.sh ci     what CI has time for
#   run.sh quick  a few images of each check, for `make test`
# NETQ_SHARED holds data/weights, data/val227, data/photos, data/wnids.txt. Without it, or without PyTorch, quick
# and ci skip every check by name.
set -u
mode=${1:-all}
cd "$(dirname "$0")/../.."
: "${BUILD:=build/release}"
python=/usr/bin/python3
here=tests/parity
checks="fold crop float gradients distill observers ops dfq accuracy"

why=
if [ -z "${NETQ_SHARED:-}" ] || [ ! -d "${NETQ_SHARED:-}/data/weights" ]; then
    why="NETQ_SHARED does not name a folder with data/weights"
elif ! $python -c 'import torch, torchvision, PIL, numpy' 2>/dev/null; then
    why="$python has no torch, torchvision, PIL or numpy"
fi
if [ -n "$why" ]; then
    n=0
    for check in $checks; do
        n=$((n + 1))
        if [ "$mode" = all ]; then
            echo "not ok $n - parity_$check: $why"
        else
            echo "ok $n - parity_$check # SKIP $why"
        fi
    done
    [ "$mode" != all ]
    exit
fi

export NETQ_SHARED BUILD OMP_NUM_THREADS=2
data=${DATA:-$NETQ_SHARED/data/val227}
status=0
check() {
    "$python" "$@" || status=1
}
case $mode in
quick)
    check $here/check_fold.py
    check $here/check_gradients.py --models shufflenet_v2_x1_0,shufflenet_v2_x0_5
    check $here/check_distill.py --models shufflenet_v2_x1_0 --samples 3 --steps 3
    check $here/check_crop.py --limit 40 "$NETQ_SHARED/data/photos" "$data"
    check $here/check_observers.py --samples 8
    check $here/check_ops.py --images 2 --data "$data"
    check $here/check_dfq.py --images 6 --models shufflenet_v2_x1_0
    ;;
ci)
    check $here/check_crop.py "$NETQ_SHARED/data/photos" "$data"
    check $here/check_float.py --images 128 --data "$data"
    check $here/check_gradients.py
    check $here/check_distill.py
    check $here/check_observers.py --samples 64
    check $here/check_ops.py --images 16 --data "$data"
    check $here/check_dfq.py
    check $here/check_accuracy.py --seeds 1 --data "$data"
    ;;
all)
    check $here/check_fold.py
    check $here/check_crop.py "$NETQ_SHARED/data/photos" "$data"
    check $here/check_float.py --images 0 --data "$data"
    check $here/check_gradients.py
    check $here/check_distill.py
    check $here/check_observers.py --samples 256
    check $here/check_ops.py --images 64 --data "$data"
    check $here/check_dfq.py --images 48
    check $here/check_accuracy.py --seeds 5 --data "$data"
    ;;
*)
    echo "usage: run.sh [all|ci|quick]" >&2
    exit 2
    ;;
esac
exit $status
