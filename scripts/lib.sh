# shellcheck shell=bash
# What the scripts share. Sourced by bash, not run.
set -euo pipefail
ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
# shellcheck disable=SC2034  # for the scripts that source this
BUILD="$ROOT/build"
# Programs of Debian that are not on every user's path.
PATH="$PATH:/usr/sbin:/sbin"

say() { printf '%s\n' "$*" >&2; }
die() {
  say "$(basename "$0"): $*"
  exit 1
}
have() { command -v "$1" >/dev/null 2>&1; }

# as_root COMMAND...: runs it as root, by sudo if need be. False when that cannot be.
as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  elif have sudo; then
    sudo "$@"
  else
    return 1
  fi
}

# Cores to build and test with.
jobs_count() { nproc 2>/dev/null || echo 2; }

# configure [PRESET]: configures the preset's build directory if it is not yet.
configure() {
  local output
  output="$(cd "$ROOT" && cmake --preset "$@" 2>&1)" || {
    say "$output"
    die "cmake could not configure the build: the last lines above say why; scripts/install-deps installs what is missing"
  }
}

# build DIRECTORY [TARGET...]: builds with Ninja; progress is what Ninja shows.
build() {
  local directory="$1"
  shift
  local targets=()
  for target in "$@"; do targets+=(--target "$target"); done
  cmake --build "$directory" -j "$(jobs_count)" "${targets[@]}"
}
