#!/bin/sh
# Builds the node open_at: build.sh [OUTPUT]. Needs clang with its linker for WebAssembly, and wasm-tools, which makes a component of
# what they build. Ends with status 3 if one of them is missing.
set -eu
folder=$(cd "$(dirname "$0")" && pwd)
output=${1:-$folder/open_at.wasm}

missing() {
    echo "a node in C needs the program $1: $2" >&2
    exit 3
}
command -v clang >/dev/null || missing clang "install it (Debian: clang)"
command -v wasm-ld >/dev/null || missing wasm-ld "install it (Debian: lld)"
command -v wasm-tools >/dev/null || missing wasm-tools "install it (cargo install wasm-tools)"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
clang --target=wasm32 -std=c11 -Os -Wall -Wextra -Werror -ffreestanding -fno-builtin -nostdlib -Wl,--no-entry -Wl,--strip-all \
    -o "$work/core.wasm" "$folder/open_at.c"
# Says in the module what it exports, and then wraps it.
wasm-tools component embed "$folder/../../wit/0.1.0" --world filter-node "$work/core.wasm" -o "$work/module.wasm"
wasm-tools component new "$work/module.wasm" -o "$output"
