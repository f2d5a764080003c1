#!/usr/bin/env bash
# Installs what is missing, builds Headlight and opens it. Arguments go to Headlight: ./run.sh --preset mini
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
. .ci/dependencies.sh
need build
mkdir -p build
{ configure release && cmake --build --preset release; } >build/run.log 2>&1 || {
  cat build/run.log >&2
  echo "Headlight could not be built; the lines above say why." >&2
  exit 1
}
exec build/release/app/headlight "$@"
