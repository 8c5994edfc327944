#!/usr/bin/env bash
# Train or test as a Slurm job:
#
#     tools/slurm.sh train PARTITION JOB_NAME CONFIG WORK_DIR [options of train.py]
#     tools/slurm.sh test PARTITION JOB_NAME CONFIG CHECKPOINT [options of test.py]
#
# Variables: GPUS (in all, 4), GPUS_PER_NODE (at most 8), CPUS_PER_TASK (5),
# SRUN_ARGS (more options of srun), PYTHON (the interpreter, python).
set -euo pipefail

usage() {
    sed -n '4,5s/^# *//p' "$0" | sed 's/^/usage: /' >&2
    exit 2
}

if [ $# -lt 5 ]; then usage; fi
TOOL=$1
PARTITION=$2
JOB_NAME=$3
CONFIG=$4
case $TOOL in
    train) FILES=("$CONFIG" --work-dir "$5") ;;
    test) FILES=("$CONFIG" "$5") ;;
    *) usage ;;
esac
shift 5
GPUS=${GPUS:-4}
GPUS_PER_NODE=${GPUS_PER_NODE:-$((GPUS < 8 ? GPUS : 8))}

# SRUN_ARGS is split into words on purpose.
# shellcheck disable=SC2086
srun --partition="$PARTITION" \
    --job-name="$JOB_NAME" \
    --gres="gpu:$GPUS_PER_NODE" \
    --ntasks="$GPUS" \
    --ntasks-per-node="$GPUS_PER_NODE" \
    --cpus-per-task="${CPUS_PER_TASK:-5}" \
    --kill-on-bad-exit=1 \
    ${SRUN_ARGS:-} \
    "${PYTHON:-python}" -u "$(dirname "$0")/$TOOL.py" "${FILES[@]}" \
    --launcher slurm "$@"
