#!/usr/bin/env bash
# Packs what a machine with a GPU needs to test and measure Headlight into one archive: programs that run on any
# processor since 2013 (AVX2), the libraries beside them, assets and golden files. Nothing is built over there.
#
#   tests/device/pack.sh OUT.tar.xz [CUDA architectures, as in CMAKE_CUDA_ARCHITECTURES; default: all]
#
# There: tar xf OUT.tar.xz && headlight-device/check.sh
set -euo pipefail
if [ $# -lt 1 ]; then
  echo "Name the archive to write, as in tests/device/pack.sh headlight-device.tar.xz [architectures]." >&2
  exit 2
fi
out=$(realpath "$1")
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
cmake --preset portable -DHEADLIGHT_CUDA_ARCHITECTURES="${2:-}" >/dev/null
cmake --build --preset portable --target headlight kernels_test core_test app_test -j "$(nproc)"

folder=$(mktemp -d)
trap 'rm -r "$folder"' EXIT
packed=$folder/headlight-device
mkdir -p "$packed"/{bin,lib,tests,home/.local/share/fonts}
for program in app/headlight tests/kernels_test tests/core_test tests/app_test; do
  strip -o "$packed/bin/$(basename $program)" "build/portable/$program"
done
# All but the C library, which belongs to its system.
ldd "$packed"/bin/* | awk '$3 ~ /^\// {print $3}' | sort -u |
  grep -Ev '/(libc|libm|libdl|libpthread|librt|ld-linux[^/]*)\.so' | xargs cp -L -t "$packed/lib"
cp -r assets shaders "$packed"
cp -r tests/golden tests/bench "$packed/tests"
# Where Headlight looks for fonts of a user.
(cd /usr/share/fonts && cp --parents -t "$packed/home/.local/share/fonts" */inter/Inter-{Regular,Medium,SemiBold,Bold}.?tf \
  truetype/noto/NotoSansMono-{Regular,Bold}.ttf truetype/dejavu/DejaVuSans.ttf)
cp tests/device/check.sh "$packed"
tar -C "$folder" -cJf "$out" headlight-device
echo "$out: $(($(stat -c %s "$out") >> 20)) MB"
