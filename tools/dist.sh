#!/usr/bin/env bash
# Train or test with several processes on this machine, or on several machines:
#
#     tools/dist.sh train CONFIG GPUS [options of train.py]
#     tools/dist.sh test CONFIG CHECKPOINT GPUS [options of test.py]
#
# GPUS is the number of processes on this machine; without a GPU they run on
# the CPU. On several machines, start it on each with these variables: NNODES
# (number of machines), NODE_RANK (0, 1, ...), MASTER_ADDR (address of the
# first one), PORT (a free port there). PYTHON is the interpreter (python).
set -euo pipefail

usage() {
    sed -n '4,5s/^# *//p' "$0" | sed 's/^/usage: /' >&2
    exit 2
}

case ${1:-} in
    train) files=1 ;; # CONFIG
    test) files=2 ;;  # CONFIG CHECKPOINT
    *) usage ;;
esac
TOOL=$1
shift
if [ $# -le $files ]; then usage; fi
FILES=("${@:1:files}")
shift $files
GPUS=$1
shift

"${PYTHON:-python}" -m torch.distributed.run \
    --nnodes="${NNODES:-1}" \
    --node_rank="${NODE_RANK:-0}" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" \
    --master_port="${PORT:-29500}" \
    --nproc_per_node="$GPUS" \
    "$(dirname "$0")/$TOOL.py" "${FILES[@]}" --launcher pytorch "$@"
