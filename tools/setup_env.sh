#!/usr/bin/env bash
# Install a dependency stack and this plugin into a virtual environment.
#
#   bash tools/setup_env.sh                  # current stack, into .venv
#   STACK=classic bash tools/setup_env.sh    # classic stack, into .venv-classic
#
# Running it again only installs what has changed. Variables:
#   STACK        current or classic: which of tools/requirements/ to install
#   VENV         folder of the environment
#   PYTHON       interpreter to make it with: CPython 3.10 to 3.13, 3.10 or 3.11 for classic
#   TORCH_INDEX  address of a package index to take torch from, such as PyTorch's own of builds
#                for the CPU, a tenth of the size where there is no GPU
#   MMCV_OPS     1: with mmcv's compiled operators, 0: without. mmdet's detectors need them (NMS),
#                PRTR does not. Default: only where nvidia-smi and nvcc find a GPU and a compiler,
#                as deformable attention then has a kernel of its own
#   WHEELHOUSE   folder with an mmcv wheel that has them, else they are compiled
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
if [ -z "${MMCV_OPS:-}" ]; then
  MMCV_OPS=0
  if command -v nvcc && nvidia-smi -L; then MMCV_OPS=1; fi >/dev/null 2>&1
fi
REQUIREMENTS=tools/requirements/$STACK

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
python() { "$VENV/bin/python" "$@"; }
pip() { python -m pip "$@" --disable-pip-version-check --quiet; }
site() { python -c 'import sysconfig; print(sysconfig.get_path("platlib"))'; }
network="check the network and the disk (2 GB are needed, 6 with CUDA), then run this again"

make_venv() {
  { [ -x "$VENV/bin/python" ] || "$PYTHON" -m venv "$VENV"; } && pip install --upgrade pip
}

install_torch() {
  pip install ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} \
    -r "${REQUIREMENTS}_torch.txt" -c "$REQUIREMENTS.txt" || return
  if ! python -c 'import torchvision' 2>/dev/null; then
    # Built for another torch, whose operators this one does not have. Without their
    # shapes the rest can be imported.
    : > "$(site)/torchvision/_meta_registrations.py"
    python -c 'import torchvision'
  fi
}

# The compiled part of xtcocotools has wheels for NumPy 1 and CPython up to 3.11 only. It is a
# copy of that of pycocotools.
install_xtcocotools() {
  local wheels
  wheels=$(mktemp -d) &&
    pip download --no-deps --dest "$wheels" --only-binary :all: --platform manylinux1_x86_64 \
      --python-version 3.11 xtcocotools==1.14.3 &&
    python -m zipfile -e "$wheels"/xtcocotools-*.whl "$(site)" &&
    rm -r "$wheels" "$(site)"/xtcocotools/_mask.* &&
    echo 'from pycocotools._mask import *' > "$(site)/xtcocotools/_mask.py"
}

install_mmcv() {
  if [ "$MMCV_OPS" = 1 ]; then
    if [ -n "${WHEELHOUSE:-}" ] && pip install --no-index --no-deps \
        --find-links "$WHEELHOUSE" "$MMCV"; then
      return
    fi
    echo "    compiling its operators, 11 minutes on 2 cores (MMCV_OPS=0 does without)"
    pip install ninja psutil &&
      CFLAGS=-g0 pip install --no-deps --no-build-isolation --no-binary "${MMCV%%=*}" "$MMCV"
  elif [ "$STACK" = classic ]; then
    pip install --no-deps "${MMCV/mmcv/mmcv-lite}"
  else
    pip install --no-deps "$MMCV"  # without operators where the build does not see torch
  fi &&
    { python -c 'import mmcv._ext' 2>/dev/null || cp prtr_plugin/_mmcv_ext.py "$(site)/mmcv/_ext.py"; }
}

install_plugin() {
  rm -rf build prtr_plugin.egg-info  # old copies would end up in the wheel
  pip install --no-deps --no-build-isolation --force-reinstall . &&
    rm -rf build prtr_plugin.egg-info
}

stamp=$(cat "$REQUIREMENTS"{,_no_deps,_torch}.txt; echo "$MMCV $MMCV_OPS ${TORCH_INDEX:-}")
if [ "$stamp" != "$(cat "$VENV/requirements.stamp" 2>/dev/null)" ]; then
  step "environment in $VENV" \
    "install CPython 3.10 to 3.13 with venv, or set PYTHON to its path" make_venv
  step "torch ($STACK stack)" "$network" install_torch
  step "the small packages (about a minute)" "$network" pip install -r "$REQUIREMENTS.txt"
  step "xtcocotools" "$network" install_xtcocotools
  step "$MMCV" "$network; if it was compiled: install a C++ compiler, or set WHEELHOUSE to
  a folder with an mmcv wheel for this Python and torch, or set MMCV_OPS=0" install_mmcv
  step "mmdet and mmpose" "$network" pip install --no-deps -r "${REQUIREMENTS}_no_deps.txt"
  echo "$stamp" > "$VENV/requirements.stamp"
fi
step "prtr_plugin" "see the error above; delete $VENV and run this again" \
  install_plugin
step "import of everything" "delete $VENV and run this again" \
  python -c 'import prtr_plugin; print("    prtr_plugin", prtr_plugin.__version__, "is ready")'
