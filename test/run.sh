#!/usr/bin/env bash
# Installs what is missing, builds with warnings as errors, and runs every test. Arguments go to
# ctest: test/run.sh -R memcache, test/run.sh -LE integration.
set -euo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=$top/build-test

"$top/apps/install-packages.sh" test
"$top/apps/build.sh" "$build" Release -DKAI_WERROR=ON
# The fuzzers need clang with its runtime; where it is not there they are left out.
can_fuzz() {
  command -v clang++ >/dev/null &&
    echo 'extern "C" int LLVMFuzzerTestOneInput(const char*, unsigned long) { return 0; }' |
    clang++ -fsanitize=fuzzer,address,undefined -x c++ -o /dev/null - 2>/dev/null
}
if can_fuzz; then
  "$top/apps/build.sh" "$top/build-fuzz" RelWithDebInfo -DCMAKE_CXX_COMPILER=clang++ -DKAI_FUZZ=ON \
    -- fuzz_text fuzz_binary fuzz_record fuzz_messages
  ctest --test-dir "$top/build-fuzz" --output-on-failure -L fuzz
fi
exec ctest --test-dir "$build" --output-on-failure --no-tests=error -j "$(nproc)" "$@"
