#!/usr/bin/env bash
# Whether the service of this container answers. SERVICE is what it is; without, whether the program starts.
set -euo pipefail
# shellcheck source=common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

case ${SERVICE:-} in
mlflow) exec wget --quiet --tries=1 --timeout=4 --output-document=/dev/null "http://127.0.0.1:${MLFLOW_PORT:-5000}/health" ;;
ray-head) listens "${RAY_NODE_IP:-$(hostname -i | cut -d ' ' -f 1)}" "${RAY_HEAD_PORT:-6379}" ;;
# A node ends by itself when its raylet does; what is left to see is whether the head is within reach.
ray-worker) listens "${RAY_HEAD_ADDRESS%:*}" "${RAY_HEAD_ADDRESS##*:}" ;;
"") exec flyp-sweep --version ;;
*) fail "SERVICE: found $SERVICE; expected mlflow, ray-head, ray-worker or nothing" ;;
esac
