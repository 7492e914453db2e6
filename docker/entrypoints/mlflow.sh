#!/usr/bin/env bash
# An MLflow tracking server on PostgreSQL, through which clients read and write artifacts too.
#
#   POSTGRES_PASSWORD              the database's password
#   POSTGRES_HOST, _PORT, _USER, _DB    postgres, 5432, mlflow, mlflow
#   MLFLOW_HOST, MLFLOW_PORT       the address to listen at: 127.0.0.1, 5000
#   MLFLOW_ARTIFACTS_DESTINATION   folder or bucket that artifacts lie in
#   MLFLOW_SERVER_ALLOWED_HOSTS    the names that clients may call the server by; MLflow refuses others than its own
#   MLFLOW_WORKERS                 processes that answer: 2
#   WAIT_SECONDS                   how long the database is waited for: 120
set -euo pipefail
here=$(dirname "${BASH_SOURCE[0]}")
# shellcheck source=common.sh
source "$here/common.sh"

required POSTGRES_PASSWORD MLFLOW_ARTIFACTS_DESTINATION
# Not in the URI, and not as an argument: those end up in logs, and any user of the machine sees arguments.
export PGPASSWORD=$POSTGRES_PASSWORD
export MLFLOW_BACKEND_STORE_URI="postgresql://${POSTGRES_USER:-mlflow}@${POSTGRES_HOST:-postgres}"
MLFLOW_BACKEND_STORE_URI+=":${POSTGRES_PORT:-5432}/${POSTGRES_DB:-mlflow}"
export MLFLOW_ARTIFACTS_DESTINATION
export MLFLOW_DISABLE_TELEMETRY=true
# Its job runner is for language models, and eight processes large.
export MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false

wait_for "${POSTGRES_HOST:-postgres}" "${POSTGRES_PORT:-5432}" "PostgreSQL"
python "$here/log_in.py" "$MLFLOW_BACKEND_STORE_URI" "${WAIT_SECONDS:-120}" || exit
exec mlflow server --serve-artifacts --workers "${MLFLOW_WORKERS:-2}" \
    --host "${MLFLOW_HOST:-127.0.0.1}" --port "${MLFLOW_PORT:-5000}"
