#!/usr/bin/env bash
# Tests and measures Headlight on this machine's GPU; lies in the folder that tests/device/pack.sh packs.
#
#   check.sh [--out FOLDER] [PART...]      parts: tests sanitizer bench torch (default: all)
#
# Everything that is printed goes to FOLDER (default: results) too, a file for each step. Ends with a table; the
# exit status is 1 where a step failed, or skipped what it was to test.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export LD_LIBRARY_PATH=$here/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
export HEADLIGHT_ASSETS=$here HEADLIGHT_SOURCE=$here HOME=$here/home
out=results
if [ "${1:-}" = --out ]; then
  out=${2:?--out takes a folder}
  shift 2
fi
mkdir -p "$out" || exit 2
parts=${*:-tests sanitizer bench torch}
table=()

# step NAME SECONDS COMMAND...
step() {
  local name=$1 limit=$2 start=$SECONDS status
  shift 2
  echo "== $name"
  timeout "$limit" "$@" >"$out/$name.log" 2>&1
  status=$?
  tail -n 12 "$out/$name.log"
  case $status in
    0) grep -q '^\[  SKIPPED \]' "$out/$name.log" && status="SKIPPED tests" || status=passed ;;
    124) status="NOT DONE in $limit s" ;;
    *) status="FAILED ($status)" ;;
  esac
  table+=("$(printf '%-28s %5d s  %s' "$name" $((SECONDS - start)) "$status")")
}
bench() {
  local name=$1
  shift
  step "bench-$name" 400 "$here/bin/headlight" bench "$@" --device cuda --json
}

step info 60 "$here/bin/headlight" info
for part in $parts; do
  case $part in
    tests)
      step kernels 600 "$here/bin/kernels_test" --gtest_brief=1 --gtest_filter='*cuda*'
      step core 600 "$here/bin/core_test" --gtest_brief=1 --gtest_filter='*cuda*'
      step pictures 120 "$here/bin/app_test" --gtest_brief=1 --gtest_filter='DevicePicture*'
      ;;
    sanitizer)
      for tool in memcheck racecheck initcheck synccheck; do
        step "sanitizer-$tool" 600 compute-sanitizer --tool $tool --error-exitcode 9 "$here/bin/kernels_test" \
          --gtest_brief=1 --gtest_filter='*cuda*'
      done
      ;;
    bench)
      bench attention attention
      bench ops ops
      bench train-tiny train --setting tiny --precision bf16
      bench train-gpt2 train --setting gpt2-124m --precision bf16 --batch 32 --context 1024
      bench decode decode
      bench live live --setting gpt2-124m --precision bf16 --batch 8 --context 1024
      ;;
    torch)
      step torch-attention 400 python3 "$here/tests/bench/torch_attention.py" --headlight "$here/bin/headlight"
      step torch-train-tiny 400 python3 "$here/tests/bench/torch_train.py" --headlight "$here/bin/headlight" \
        --device cuda --precision bf16 --compile
      step torch-train-gpt2 600 python3 "$here/tests/bench/torch_train.py" --headlight "$here/bin/headlight" \
        --setting gpt2-124m --device cuda --precision bf16 --compile --batch 32 --context 1024
      ;;
    *)
      echo "There is no part \"$part\"; choose from tests, sanitizer, bench and torch." >&2
      exit 2
      ;;
  esac
done

echo
printf '%s\n' "${table[@]}" | tee "$out/table.log"
! grep -qE 'FAILED|SKIPPED|NOT DONE' "$out/table.log"
