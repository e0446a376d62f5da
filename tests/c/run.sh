#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Compiles and runs the C programs: tests/c/run.sh DIR [NAME...], DIR = the folder of libkerolox.so, NAME = some of them.
# Prints `ok NAME` or `SKIPPED NAME: reason` for each case; ends with 1 when anything fails.
set -u

here=$(cd "$(dirname "$0")" && pwd)
include=$here/../../include
[ $# -ge 1 ] && [ -d "$1" ] || { echo "usage: tests/c/run.sh DIR [NAME...]" >&2; exit 2; }
library=$(cd "$1" && pwd)
shift
[ -e "$library/libkerolox.so" ] || [ -e "$library/libkerolox.dylib" ] || {
    echo "no libkerolox.so in $library: cargo build -p kerolox-c" >&2
    exit 2
}
scratch=$(mktemp -d) || exit 2
trap 'rm -rf "$scratch"' EXIT
strict="-Wall -Wextra -Wpedantic -Werror"
failed=0

has() { command -v "$1" >/dev/null 2>&1; }

# A command by a name for the report; its output is shown when it fails.
step() {
    name=$1
    shift
    if "$@" >"$scratch/log" 2>&1; then
        echo "ok $name"
    else
        cat "$scratch/log"
        echo "FAILED $name"
        failed=1
    fi
}

limited() { if has timeout; then timeout 300 "$@"; else "$@"; fi; }

exports_only_klx() {
    nm -D --defined-only "$library/libkerolox.so" >"$scratch/symbols" || return 1
    grep -q ' T klx_version$' "$scratch/symbols" || return 1
    ! grep -v ' klx_' "$scratch/symbols"
}

printf '#include "kerolox.h"\n#include "kerolox.h"\nint main(void) { return (int)KLX_STR("").len + (int)klx_str("").len; }\n' >"$scratch/alone.c"
cp "$scratch/alone.c" "$scratch/alone.cc"
# shellcheck disable=SC2086 # the flags are words
step "header as C11" "${CC:-cc}" -std=c11 $strict -fsyntax-only "-I$include" "$scratch/alone.c"
if has "${CXX:-c++}"; then
    # shellcheck disable=SC2086
    step "header as C++17" "${CXX:-c++}" -std=c++17 $strict -fsyntax-only "-I$include" "$scratch/alone.cc"
else
    echo "SKIPPED header as C++17: no C++ compiler"
fi
if has nm && [ -e "$library/libkerolox.so" ]; then
    step "the library exports only klx_*" exports_only_klx
else
    echo "SKIPPED exports: no nm, or another kind of library"
fi

programs=${*:-"lifecycle send_receive callbacks errors fork official"}
for name in $programs; do
    # shellcheck disable=SC2086
    if ! "${CC:-cc}" -std=c11 $strict -O1 -g -pthread "-I$include" "$here/$name.c" -o "$scratch/$(basename "$name")" \
        "-L$library" -lkerolox "-Wl,-rpath,$library"; then
        echo "FAILED $name: does not compile"
        failed=1
        continue
    fi
    if ! limited "$scratch/$(basename "$name")"; then
        echo "FAILED $name"
        failed=1
    elif [ "$name" = lifecycle ]; then
        if has valgrind; then
            step "lifecycle under valgrind" limited valgrind --quiet --error-exitcode=1 --leak-check=full \
                --errors-for-leak-kinds=definite --show-leak-kinds=definite "$scratch/lifecycle"
        else
            echo "SKIPPED lifecycle under valgrind: not installed"
        fi
    fi
done
exit $failed
