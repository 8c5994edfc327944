#!/usr/bin/env bash
# Install a dependency stack and this plugin into a virtual environment.
#
#   bash tools/setup_env.sh                  # current stack, into .venv
#   STACK=classic bash tools/setup_env.sh    # classic stack, into .venv-classic
#
# Running it again only installs what has changed. Variables:
#   STACK       current or classic: which of tools/requirements/ to install
#   VENV        folder of the environment
#   PYTHON      interpreter to make it with (both stacks are checked on 3.11)
#   WHEELHOUSE  folder with a ready-made mmcv wheel; without one mmcv is
#               compiled from source
set -euo pipefail
if [ -n "${WHEELHOUSE:-}" ]; then WHEELHOUSE=$(realpath "$WHEELHOUSE"); fi
cd "$(dirname "$0")/.."

STACK=${STACK:-current}
case $STACK in
  current) VENV=${VENV:-.venv} MMCV=onedl-mmcv==2.3.6 ;;
  classic) VENV=${VENV:-.venv-classic} MMCV=mmcv==2.1.0 ;;
  *) echo "STACK must be current or classic, but is '$STACK'." >&2; exit 2 ;;
esac
PYTHON=${PYTHON:-$(command -v python3.11 || command -v python3 || true)}
REQUIREMENTS=tools/requirements

# step TEXT REMEDY COMMAND...: say what is done, and what to do if it fails.
# set -e has no effect inside COMMAND: functions chain theirs with &&.
step() {
  local text=$1 remedy=$2
  shift 2
  echo "==> $text"
  if ! "$@"; then
    printf 'Failed: %s\nWhat to do: %s\n' "$text" "$remedy" >&2
    exit 1
  fi
}
pip() { "$VENV/bin/python" -m pip "$@" --disable-pip-version-check --quiet; }
network="check the network and the disk (5 GB are needed), then run this again"

install_mmcv() {
  if [ -n "${WHEELHOUSE:-}" ] && pip install --no-index --no-deps \
      --find-links "$WHEELHOUSE" "$MMCV"; then
    pip install "$MMCV"  # what it needs, from the index
    return
  fi
  echo "    no ready-made wheel (WHEELHOUSE): compiling, 11 minutes on 2 cores"
  pip install ninja psutil &&
    CFLAGS=-g0 pip install --no-build-isolation --no-binary "${MMCV%%=*}" "$MMCV"
}

make_venv() {
  { [ -x "$VENV/bin/python" ] || "$PYTHON" -m venv "$VENV"; } &&
    pip install --upgrade pip
}

install_plugin() {
  rm -rf build prtr_plugin.egg-info  # old copies would end up in the wheel
  pip install --no-deps --no-build-isolation --force-reinstall . &&
    rm -rf build prtr_plugin.egg-info
}

stamp=$(cat "$REQUIREMENTS/$STACK.txt" "$REQUIREMENTS/${STACK}_no_deps.txt"; echo "$MMCV")
if [ "$stamp" != "$(cat "$VENV/requirements.stamp" 2>/dev/null)" ]; then
  step "environment in $VENV" \
    "install CPython 3.11 with venv, or set PYTHON to its path" make_venv
  step "torch and the small packages ($STACK stack; about a minute)" \
    "$network" pip install -r "$REQUIREMENTS/$STACK.txt"
  step "$MMCV" "install a C++ compiler, or set WHEELHOUSE to a folder with an
  mmcv wheel for this Python" install_mmcv
  step "mmdet, mmpose and mmpretrain" "$network" \
    pip install --no-deps -r "$REQUIREMENTS/${STACK}_no_deps.txt"
  echo "$stamp" > "$VENV/requirements.stamp"
fi
step "prtr_plugin" "see the error above; delete $VENV and run this again" \
  install_plugin
step "import of everything" "delete $VENV and run this again" \
  "$VENV/bin/python" -c 'import prtr_plugin; print("    prtr_plugin", prtr_plugin.__version__, "is ready")'
