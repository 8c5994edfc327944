#!/usr/bin/env bash
# Run test.py with several processes on this machine, or on several machines:
#
#     tools/dist_test.sh CONFIG CHECKPOINT GPUS [options of test.py]
#
# GPUS is the number of processes on this machine; without a GPU they run on
# the CPU. On several machines, start it on each with these variables: NNODES
# (number of machines), NODE_RANK (0, 1, ...), MASTER_ADDR (address of the
# first one), PORT (a free port there). PYTHON is the interpreter (python).
set -euo pipefail

if [ $# -lt 3 ]; then
    echo "usage: $0 CONFIG CHECKPOINT GPUS [options of test.py]" >&2
    exit 2
fi
CONFIG=$1
CHECKPOINT=$2
GPUS=$3
shift 3

"${PYTHON:-python}" -m torch.distributed.run \
    --nnodes="${NNODES:-1}" \
    --node_rank="${NODE_RANK:-0}" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" \
    --master_port="${PORT:-29500}" \
    --nproc_per_node="$GPUS" \
    "$(dirname "$0")/test.py" "$CONFIG" "$CHECKPOINT" --launcher pytorch "$@"
