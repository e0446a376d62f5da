#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Every binding against the servers of NAMESRV_ADDR: the scenarios in each language, and their own programs for this.
# Called inside `with_official` with PYTHON (that has the package), C_SCENARIOS (tests/scenarios/run.c, compiled) and
# C_LIBRARY (the folder of libkerolox). Prints a line `ok`, `not ok`, `FAILED` or `SKIPPED` for each test.
set -u
cd "$(dirname "$0")/../.." || exit 2
export KEROLOX_OFFICIAL_NAMESRV=$NAMESRV_ADDR
failed=0

run() {
    local name=$1
    shift
    echo "# $name"
    if [ ! -x "$(command -v "$1")" ]; then
        echo "SKIPPED $name: $1 is not there, run its own step first"
    elif ! "$@"; then
        echo "FAILED $name"
        failed=1
    fi
}

run "Python scenarios" "$PYTHON" tests/scenarios/run.py tests/scenarios/*.scn
run "Node scenarios" node tests/scenarios/run.mjs tests/scenarios/*.scn
run "Node program" node node/test/official.mjs
run "C scenarios" "$C_SCENARIOS" tests/scenarios/*.scn
run "C program" bash tests/c/run.sh "$C_LIBRARY" official
exit $failed
