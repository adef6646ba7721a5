#!/bin/sh
# run.sh FOLDER SECONDS: each libFuzzer binary of FOLDER for SECONDS on its corpus; findings go to FOLDER.
set -eu
for program in "$1"/fuzz_*; do
    [ -x "$program" ] || continue
    name=$(basename "$program")
    mkdir -p "$1/corpus-${name#fuzz_}"
    "$program" -max_total_time="$2" -artifact_prefix="$1/$name-" -print_final_stats=1 \
        "$1/corpus-${name#fuzz_}" "tests/fuzz/corpus/${name#fuzz_}"
done
