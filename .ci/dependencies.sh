# What Headlight needs from the system. Sourced by run.sh and test.sh; `need build` or `need build test`
# installs what is missing.

build_packages=(
  cmake g++ ninja-build ccache pkg-config
  libimgui-dev libglfw3-dev libepoxy-dev libgl-dev libegl-dev libgl1-mesa-dri libegl1 libfreetype-dev libpng-dev
  nlohmann-json3-dev libcli11-dev libfmt-dev libutf8proc-dev libdnnl-dev
  fonts-inter fonts-noto-mono fonts-dejavu-core
)
test_packages=(libgtest-dev xvfb xauth xdotool clang-14 libclang-rt-14-dev)

installed() { dpkg-query -W -f '${Status}' "$1" 2>/dev/null | grep -q 'ok installed'; }

need() {
  local packages=() missing=() package
  local group
  for group in "$@"; do
    if [ "$group" = build ]; then packages+=("${build_packages[@]}"); fi
    if [ "$group" = test ]; then packages+=("${test_packages[@]}"); fi
  done
  if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    # Another system: its own packages may serve, so the build is tried and says what it lacks.
    echo "This system has no apt; please install what these Debian packages hold, then run this again if the build fails: ${packages[*]}" >&2
    return 0
  fi
  for package in "${packages[@]}"; do installed "$package" || missing+=("$package"); done
  [ ${#missing[@]} -eq 0 ] && return 0
  local as_root=()
  if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null; then
      echo "These packages are missing and there is no sudo to install them with; as root, run: apt-get install ${missing[*]}" >&2
      return 1
    fi
    as_root=(sudo)
  fi
  echo "Installing: ${missing[*]}" >&2
  "${as_root[@]}" apt-get update -qq &&
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null || {
    echo "The packages could not be installed; check the network and apt's sources, then run this again." >&2
    return 1
  }
}

# configure PRESET: only where the build folder is new; later builds reconfigure by themselves.
configure() {
  [ -f "build/$1/build.ninja" ] || cmake --preset "$1"
}
