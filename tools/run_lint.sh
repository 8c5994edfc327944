#!/usr/bin/env bash
# Install what is missing, then check format, style and types.
#
#   bash tools/run_lint.sh
#
# See tools/setup_env.sh for the variables.
set -euo pipefail
if [ "${STACK:-current}" = classic ]; then VENV=${VENV:-.venv-classic}; fi
export VENV=${VENV:-.venv}
bash "$(dirname "$0")/setup_env.sh"
cd "$(dirname "$0")/.."
"$VENV/bin/python" -m pip install --quiet --disable-pip-version-check -r tools/requirements/lint.txt
"$VENV/bin/ruff" format --check .
"$VENV/bin/ruff" check .
"$VENV/bin/mypy"
