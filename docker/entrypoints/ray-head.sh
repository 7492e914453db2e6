#!/usr/bin/env bash
# The head of a Ray cluster. It runs no trials unless RAY_HEAD_CPUS says so.
#
#   RAY_AUTH_TOKEN       the cluster's secret, of every node and driver (or RAY_AUTH_TOKEN_PATH, a file)
#   RAY_HEAD_PORT        6379
#   RAY_HEAD_CPUS        0
#   RAY_HEAD_GPUS        0
#   RAY_NODE_IP          the address that other nodes reach this one by; left out: Ray finds out
#   RAY_DASHBOARD_HOST   the address that the dashboard listens at; left out: no dashboard
#   RAY_DASHBOARD_PORT   8265
set -euo pipefail
shopt -s extglob
# shellcheck source=common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

ray_environment
node_options "${RAY_HEAD_CPUS:-0}" "${RAY_HEAD_GPUS:-0}"
dashboard=(--include-dashboard=false)
if [ -n "${RAY_DASHBOARD_HOST:-}" ]; then
    dashboard=(--include-dashboard=true --dashboard-host "$RAY_DASHBOARD_HOST")
    dashboard+=(--dashboard-port "${RAY_DASHBOARD_PORT:-8265}")
fi
exec ray start --head --port "${RAY_HEAD_PORT:-6379}" "${dashboard[@]}" "${NODE_OPTIONS[@]}"
