#!/usr/bin/env bash
# Starts the ranks of this run by hand, as tunekit does. The compiled ops must be there already.
# It refuses where steps were trained, or are being trained.
set -euo pipefail
/venv/bin/python -P -m tunekit.backends.by_hand /home/user/work/runs/codellama34b_qlora
cd /home/user/work
unset CROSS_RANK CROSS_SIZE CUDA_VISIBLE_DEVICES GROUP_RANK KMP_AFFINITY LOCAL_RANK LOCAL_SIZE LOCAL_WORLD_SIZE MASTER_ADDR MASTER_PORT RANK ROLE_RANK WORLD_SIZE
export CUDA_DEVICE_ORDER=PCI_BUS_ID
export DEEPSPEED_TIMEOUT=120
export DS_ACCELERATOR=cuda
export HF_DATASETS_OFFLINE=1
export HF_HUB_OFFLINE=1
export NCCL_IB_DISABLE=1
export NCCL_P2P_DISABLE=1
export OMP_NUM_THREADS=6
export PATH=/venv/bin:/usr/bin:/bin
export PYTHONFAULTHANDLER=1
export PYTHONSAFEPATH=1
export PYTHONUNBUFFERED=1
export PYTORCH_ALLOC_CONF=expandable_segments:True
export TOKENIZERS_PARALLELISM=false
export TORCH_EXTENSIONS_DIR=/home/user/.cache/tunekit/ops/cp311-torch2.13.0-deepspeed0.19.8-3ceaca6d
export TRANSFORMERS_OFFLINE=1
export TUNEKIT_ATTEMPT=1
export TUNEKIT_RUN=/home/user/work/runs/codellama34b_qlora
exec /venv/bin/deepspeed \
  -H /dev/null \
  --num_gpus 2 \
  --no_local_rank \
  --enable_each_rank_log /home/user/work/runs/codellama34b_qlora/logs \
  --master_port 29698 \
  --module tunekit.worker \
  --plan /home/user/work/runs/codellama34b_qlora/plan.json
