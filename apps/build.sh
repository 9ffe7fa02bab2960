#!/usr/bin/env bash
# Configures and builds: build.sh DIRECTORY TYPE [-DNAME=VALUE ...] [-- TARGET ...]
set -euo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
directory=$1
settings=(-DCMAKE_BUILD_TYPE="$2")
shift 2
while [ $# -gt 0 ] && [ "$1" != -- ]; do
  settings+=("$1")
  shift
done
targets=()
[ $# -le 1 ] || targets=(--target "${@:2}")
# A directory keeps the generator it was made with.
[ -f "$directory/CMakeCache.txt" ] || settings+=(-G Ninja)
cmake -S "$top" -B "$directory" "${settings[@]}" >/dev/null
# A compiler wants about 1 GB.
jobs=$(awk -v cores="$(nproc)" '/^MemAvailable/ {
  n = int($2 / 1000000); print n < 1 ? 1 : n < cores ? n : cores}' /proc/meminfo)
cmake --build "$directory" -j "$jobs" "${targets[@]}"
