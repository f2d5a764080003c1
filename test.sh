#!/usr/bin/env bash
# Installs what is missing, builds everything with warnings as errors, and runs all tests. Needs no display and no GPU.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
. .ci/dependencies.sh
need build test

jobs=$(nproc)
# The engine's threads under the thread sanitizer; everything that reads files from outside, and the core, under the
# address and undefined-behaviour sanitizers.
configure tsan
cmake --build --preset tsan --target engine_test -j "$jobs"
# Refusing every allocation in turn is about memory, not threads, and takes ten times as long here.
build/tsan/tests/engine_test --gtest_brief=1 --gtest_filter='-*EveryAllocation*'
configure asan
cmake --build --preset asan --target core_test fuzz_test -j "$jobs"
build/asan/tests/core_test --gtest_brief=1 --gtest_filter='-CourseTrained*:ModelGradient*'
build/asan/tests/fuzz_test --gtest_brief=1

# Files from outside, under libFuzzer for a few seconds each; what it finds to be new is not kept.
[ -f build/fuzz/build.ninja ] || cmake -S tests/libfuzzer -B build/fuzz -G Ninja -DCMAKE_CXX_COMPILER=clang++-14
cmake --build build/fuzz -j "$jobs"
for name in safetensors tokenizer_json merges config; do
  found=$(mktemp -d)
  build/fuzz/fuzz_$name -max_total_time=8 -seed=1 -rss_limit_mb=1024 -timeout=10 -verbosity=0 -print_funcs=0 \
    -artifact_prefix=build/fuzz/ "$found" tests/fuzz/corpus/$name
  rm -r "$found"
done

configure dev
cmake --build --preset dev -j "$jobs"
ctest --preset dev -j "$jobs"
