#!/usr/bin/env bash
# Install what is missing and run the tests, two files at a time; arguments go to pytest.
#
#   bash tools/run_tests.sh                  # current stack
#   STACK=classic bash tools/run_tests.sh    # classic stack
#
# See tools/setup_env.sh for the variables, and docs/installation.md for `python -m pytest` in an
# environment of your own.
set -euo pipefail
if [ "${STACK:-current}" = classic ]; then VENV=${VENV:-.venv-classic}; fi
export VENV=${VENV:-.venv}
bash "$(dirname "$0")/setup_env.sh"
cd "$(dirname "$0")/.."
"$VENV/bin/python" -m pip install --quiet --disable-pip-version-check \
  -r "tools/requirements/${STACK:-current}_test.txt" -c "tools/requirements/${STACK:-current}.txt"
# the tests of a file stay together, as they share what they have trained
exec "$VENV/bin/python" -m pytest tests --numprocesses 2 --dist loadfile "$@"
