# SPDX-License-Identifier: Apache-2.0
# Short names for `cargo xtask`; nothing is defined here.

test *STEPS:
    cargo xtask test {{STEPS}}

ci:
    cargo xtask ci

demo *ARGS:
    cargo xtask demo {{ARGS}}

gen:
    cargo xtask gen

fmt:
    cargo fmt --all
