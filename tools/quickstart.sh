#!/usr/bin/env bash
# From nothing to a trained model and pictures, in minutes on two CPU cores:
# install, make a dataset of synthetic people, train, evaluate, draw.
#
#   bash tools/quickstart.sh
#
# With the head of the paper:
#
#   CONFIG=configs/body_2d_keypoint/prtr/synthetic/td-prtr_res18_1xb32-20e_synthetic-128x96.py \
#     OUT=work_dirs/quickstart_prtr bash tools/quickstart.sh
#
# Variables: CONFIG (the two-stage one of PRTR+) for synthetic people, SEED (0) of
# training, OUT (work_dirs/quickstart, a new folder), DATA (data/synthetic_people),
# FORCE (empty; anything else replaces a folder that this script has made), and
# those of tools/setup_env.sh.
set -euo pipefail
SEED=${SEED:-0} OUT=${OUT:-work_dirs/quickstart} DATA=${DATA:-data/synthetic_people}
if [ "${STACK:-current}" = classic ]; then VENV=${VENV:-.venv-classic}; fi
export VENV=${VENV:-.venv}
cd "$(dirname "$0")/.."
if [ -e "$OUT" ] && [ -n "$(ls -A "$OUT")" ]; then
  if [ ! -e "$OUT/.quickstart" ]; then
    echo "Error: $OUT exists and is not from this script. Set OUT to a new folder." >&2
    exit 1
  elif [ -z "${FORCE:-}" ]; then
    echo "Error: $OUT exists. Set OUT to a new folder, or FORCE=1 to replace it." >&2
    exit 1
  fi
fi
bash tools/setup_env.sh
python=$VENV/bin/python
configs=configs/body_2d_keypoint
config=${CONFIG:-$configs/prtr_plus/synthetic/td-prtr-plus_res18_1xb16-5e_synthetic-128x96.py}
options=("data_root=$DATA/" "randomness.seed=$SEED")

echo "==> synthetic people"
"$python" tools/dataset_tools/synthetic_people.py "$DATA"
echo "==> training"
if [ -e "$OUT/.quickstart" ]; then rm -rf "$OUT"; fi
mkdir -p "$OUT"
touch "$OUT/.quickstart"
start=$SECONDS
"$python" tools/train.py "$config" --work-dir "$OUT" --cfg-options "${options[@]}"
echo "Training took $((SECONDS - start)) s"
echo "==> evaluation on held-out people"
checkpoint=$(ls "$OUT"/epoch_*.pth)
"$python" tools/test.py "$config" "$checkpoint" --work-dir "$OUT" \
  --out "$OUT/metrics.json" --cfg-options "${options[@]}"
echo "==> pictures"
"$python" tools/visualizations/prediction_sheet.py "$config" "$checkpoint" \
  "$OUT/predictions.png" --cfg-options "${options[@]}"
"$python" tools/analysis_tools/plot_training.py "$OUT" "$OUT/curve.png"

cat <<TEXT

Checkpoint:  $checkpoint
Predictions: $OUT/predictions.png
Curve:       $OUT/curve.png
TEXT
exec "$python" -c '
import json, sys
metrics = json.load(open(sys.argv[1]))
print("AP:          %.3f" % metrics["coco/AP"])
if "coco/bbox_AP" in metrics:
    print("Box AP:      %.3f" % metrics["coco/bbox_AP"])
' "$OUT/metrics.json"
