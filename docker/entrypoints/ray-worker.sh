#!/usr/bin/env bash
# A node of a Ray cluster that runs trials. It may come and go while a sweep runs.
#
#   RAY_AUTH_TOKEN       the cluster's secret, of every node and driver (or RAY_AUTH_TOKEN_PATH, a file)
#   RAY_HEAD_ADDRESS     HOST:PORT of the head, which is waited for
#   RAY_NODE_CPUS        left out: those of the machine
#   RAY_NODE_GPUS        left out: those of the machine
#   RAY_NODE_IP          the address that other nodes reach this one by; left out: Ray finds out
#   WAIT_SECONDS         120
set -euo pipefail
shopt -s extglob
# shellcheck source=common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

ray_environment
wait_for_head
node_options "${RAY_NODE_CPUS:-}" "${RAY_NODE_GPUS:-}"
exec ray start --address "$RAY_HEAD_ADDRESS" "${NODE_OPTIONS[@]}"
