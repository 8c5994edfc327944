#!/usr/bin/env bash
# Make the documentation a site in site/; a link that leads nowhere is an error.
#
#   bash tools/build_docs.sh          # build
#   bash tools/build_docs.sh serve    # show at a local address, built again after every change
#
# Needs no torch: docstrings are read without importing. Variables, as of tools/setup_env.sh:
#   VENV      folder of the environment
#   PYTHON    interpreter to make it with, where it is not there yet
set -euo pipefail
cd "$(dirname "$0")/.."
VENV=${VENV:-.venv}
PYTHON=${PYTHON:-$(command -v python3.11 || command -v python3)}
[ -x "$VENV/bin/python" ] || "$PYTHON" -m venv "$VENV"
"$VENV/bin/python" -m pip install --quiet --disable-pip-version-check -r tools/requirements/docs.txt
export NO_MKDOCS_2_WARNING=1  # the versions are pinned
if [ $# = 0 ]; then set -- build; fi
# ruff is found by its path
PATH=$(cd "$VENV/bin" && pwd):$PATH exec "$VENV/bin/python" -m mkdocs "$@" --strict
