#!/usr/bin/env bash
# Installs what is missing, builds everything with warnings as errors, and runs all tests. Needs no display and no GPU.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
. .ci/dependencies.sh
need build test

jobs=$(nproc)
# Threads under the thread sanitizer, files from outside under the address and undefined-behaviour sanitizers.
configure tsan
cmake --build --preset tsan --target engine_test -j "$jobs"
ctest --preset tsan -L engine -j 1
configure asan
cmake --build --preset asan --target core_test -j "$jobs"
ctest --preset asan -L files -j "$jobs"

configure dev
cmake --build --preset dev -j "$jobs"
ctest --preset dev -j "$jobs"
