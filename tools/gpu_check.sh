#!/usr/bin/env bash
# What can only be checked on a GPU: bash tools/gpu_check.sh PART     (each part under 8 minutes on an H100)
#
#   smoke                       every notebook on the smoke profile
#   data                        phantoms at 256 px, over all cores
#   stylegan dcgan vgg          images/s and peak memory at the paper profile's shapes
#   tokens dit                  the same of Textual Inversion and fine-tuning, random weights of the true shapes
#   paper-1 paper-2 paper-3 paper-4    notebooks of the paper profile, true shapes, few steps: 01-03, 04, 05, 06-10 and 00
#   gpu-1 gpu-2 gpu-3           the gpu profile in full: 01-03, 04-07, 08-10 and 00; each goes on from the one before
#
# Small results go to $OUT (default runs/gpu_check).  PY names the Python (default .venv/bin/python).
set -euo pipefail
cd "$(dirname "$0")/.."
PART=${1:?name a part: $(sed -n '4,9s/^# *//p' "$0" | sed 's/  .*//' | tr '\n' ' ')}
OUT=${OUT:-runs/gpu_check}
PY=${PY:-.venv/bin/python}
MODELS=${MODELS:-$OUT/models}
mkdir -p "$OUT"
export PYTHONPATH=$PWD

study() {    # study RUN PROFILE SET NOTEBOOK...: execute them, keep their times and tables
    local run=$1 profile=$2 set=$3
    shift 3
    local start=$SECONDS
    make --no-print-directory "PY=$PY" "PYTHON=$PY" ENV= -j"$(nproc)" "$@" "RUN=$run" "PROFILE=$profile" "SET=$set"
    echo "$PART: $((SECONDS - start)) s"
    nvidia-smi --query-gpu=name,memory.used,memory.total --format=csv || true
    for file in timings.csv results/table.md results/metrics.csv results/contrasts.csv audit/generator_card.csv; do
        if [ -f "runs/$run/$file" ]; then cp "runs/$run/$file" "$OUT/$run-${file##*/}"; fi
    done
    for log in runs/"$run"/generators/*/train_log.csv; do
        if [ -f "$log" ]; then cp "$log" "$OUT/$run-$(basename "$(dirname "$log")")-train_log.csv"; fi
    done
}

FEW="dataset=phantom data_dir= synthetic_per_class=48 weights= features=efficientnet_lite0 seeds=1
     02_dcgan.steps=200 03_stylegan.steps=200
     04_textual_inversion.base=$MODELS/sd 04_textual_inversion.steps=20 04_textual_inversion.sampling_steps=4
     05_diffusion.base=$MODELS/dit 05_diffusion.steps=20 05_diffusion.sampling_steps=4 snapshots=3 snapshot_samples=4
     reference_steps=200 tstr_steps=100 08_classification.steps=60 population_lesions=[50,50,50] dev_lesions=20
     arms=[classical,oversample,mixup,dcgan@1/8,genmix-dcgan@1/8,stylegan@1/8,genmix-stylegan@1/8]"
FEW=$(echo $FEW)

case $PART in
    smoke) study gpusmoke smoke '' all ;;
    data) study gpudata paper 'dataset=phantom data_dir=' 01_data ;;
    stylegan | dcgan | vgg | tokens | dit) "$PY" -m tools.gpu_measure "$PART" | tee "$OUT/$PART.csv" ;;
    paper-1) study gpupaper paper "$FEW" 01_data 02_dcgan 03_stylegan ;;
    paper-2 | paper-3)
        [ -d "$MODELS/dit/transformer" ] || "$PY" -m tools.gpu_models "$MODELS"
        if [ "$PART" = paper-2 ]; then study gpupaper paper "$FEW" 04_textual_inversion
        else study gpupaper paper "$FEW" 05_diffusion; fi ;;
    paper-4) study gpupaper paper "$FEW" all ;;
    gpu-1) study gpu gpu '' 01_data 02_dcgan 03_stylegan ;;
    gpu-2) study gpu gpu '' 04_textual_inversion 05_diffusion 06_generator_audit 07_genmix ;;
    gpu-3) study gpu gpu '' all ;;
    *) echo "There is no part $PART: read the top of $0." >&2; exit 2 ;;
esac
