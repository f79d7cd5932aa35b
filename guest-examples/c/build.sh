#!/bin/sh
# Compiles the node open_at to a core module, of which `sangre node build` makes a component: build.sh [OUTPUT]. Needs clang with its
# linker for WebAssembly. Ends with status 3 if one of them is missing.
set -eu
folder=$(cd "$(dirname "$0")" && pwd)
output=${1:-$folder/open_at.core.wasm}

missing() {
    echo "a node in C needs the program $1: install it (Debian: $2)" >&2
    exit 3
}
command -v clang >/dev/null || missing clang clang
command -v wasm-ld >/dev/null || missing wasm-ld lld

clang --target=wasm32 -std=c11 -Os -Wall -Wextra -Werror -ffreestanding -fno-builtin -nostdlib -Wl,--no-entry -Wl,--strip-all \
    -o "$output" "$folder/open_at.c"
