#!/bin/bash
# tests/run.sh test|long: runs every test of the suite, prints what failed, and last a line
# "N passed, N failed, N skipped". Every test program speaks TAP: "ok 1 - name", "not ok 2 - name",
# "ok 3 - name # SKIP why". A program that ends badly or says nothing counts as one failure.
set -u
suite=${1:-test}
: "${BUILD:=build/release}"
cd "$(dirname "$0")/.."
export BUILD NETQ_SOURCE_DIR=$PWD CMOCKA_MESSAGE_OUTPUT=TAP
export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=1} UBSAN_OPTIONS=print_stacktrace=1
# Under the sanitizers the service tests' timeouts are multiplied.
case $BUILD in *sanitize*) export NETQ_TEST_SLOW=10 ;; *) export NETQ_TEST_SLOW=1 ;; esac
logs=$BUILD/test-logs
mkdir -p "$logs"
passed=0 failed=0 skipped=0

run() { # run NAME SECONDS COMMAND...
    local name=$1 limit=$2
    shift 2
    local log=$logs/${name//\//_}.log start=$SECONDS
    timeout -k 10 "$limit" "$@" >"$log" 2>&1 </dev/null
    local status=$?
    local ok bad skip
    skip=$(grep -cE '^(not )?ok .*# SKIP' "$log")
    ok=$(grep -E '^ok ' "$log" | grep -vc '# SKIP')
    bad=$(grep -E '^not ok ' "$log" | grep -vc '# SKIP')
    if [ $status -ne 0 ] && [ "$bad" -eq 0 ]; then
        bad=1
        [ $status -eq 124 ] && echo "not ok - $name ran longer than $limit s" >>"$log"
    elif [ $((ok + bad + skip)) -eq 0 ]; then
        bad=1
    fi
    passed=$((passed + ok)) failed=$((failed + bad)) skipped=$((skipped + skip))
    printf '%-44s %4d passed %3d failed %3d skipped %4d s\n' "$name" "$ok" "$bad" "$skip" $((SECONDS - start))
    grep -E '# SKIP' "$log" | sed 's/^/    /'
    if [ "$bad" -ne 0 ]; then
        echo "    ---- $log"
        tail -n 60 "$log" | sed 's/^/    /'
    fi
}

case $suite in
test)
    for program in "$BUILD"/tests/test_*; do
        [ -x "$program" ] && run "unit/$(basename "$program")" $((120 * NETQ_TEST_SLOW)) "$program"
    done
    for program in "$BUILD"/tests/fuzz_*; do
        [ -x "$program" ] || continue
        name=$(basename "$program")
        run "fuzz/$name" $((60 * NETQ_TEST_SLOW)) "$program" "tests/fuzz/corpus/${name#fuzz_}" 2000
    done
    run kernels/checkkernels $((60 * NETQ_TEST_SLOW)) "$BUILD/tests/checkkernels" --cases 300
    run kernels/checkresize $((60 * NETQ_TEST_SLOW)) "$BUILD/tests/checkresize" --cases 1000
    for script in tests/service/test_*.py; do
        run "service/$(basename "$script" .py)" $((240 * NETQ_TEST_SLOW)) python3 "$script"
    done
    run bench/selftest $((240 * NETQ_TEST_SLOW)) python3 bench/bench.py --selftest
    run parity/quick $((240 * NETQ_TEST_SLOW)) tests/parity/run.sh quick
    ;;
long)
    for script in tests/service/long_*.py; do
        [ -f "$script" ] && run "service/$(basename "$script" .py)" 1500 python3 "$script"
    done
    run parity/whole 2400 tests/parity/run.sh ci
    ;;
*)
    echo "usage: tests/run.sh test|long" >&2
    exit 2
    ;;
esac
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed -eq 0 ]
