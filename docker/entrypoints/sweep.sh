#!/usr/bin/env bash
# One sweep on a Ray cluster: sweep.sh [SPACE [OPTIONS of `flyp-sweep run`]]. Run again, it goes on.
#
#   RAY_AUTH_TOKEN        the cluster's secret, of every node and driver (or RAY_AUTH_TOKEN_PATH, a file)
#   RAY_HEAD_ADDRESS      HOST:PORT of the head, which is waited for
#   RAY_JOIN              1: make this machine a node, without CPUs, as Ray wants it of a driver's; 0: it is one
#   RAY_CPUS_WANTED       CPUs that the cluster must have before the sweep begins: 1
#   SPACE                 the search space, where there are no arguments
#   MLFLOW_TRACKING_URI   the tracking server; left out: a file beside the run folder
#   WAIT_SECONDS          120
set -euo pipefail
shopt -s extglob
here=$(dirname "${BASH_SOURCE[0]}")
# shellcheck source=common.sh
source "$here/common.sh"

if [ $# = 0 ]; then
    required SPACE
    set -- "$SPACE"
fi
ray_environment
wait_for_head
node=
child=
stopped=

# Hears SIGTERM and SIGINT: what is being run ends first. A driver saves what is under way, within 25 seconds.
# shellcheck disable=SC2329  # called by the trap
stop() {
    stopped=1
    [ -z "$child" ] || kill -TERM "$child" 2>/dev/null || true
}

# Runs a command such that signals are heard meanwhile; ends this script, and the node, if it fails.
attend() {
    local code
    [ -z "$stopped" ] || leave 130 # a signal that came between two commands
    "$@" &
    child=$!
    while true; do
        code=0
        wait "$child" || code=$?
        kill -0 "$child" 2>/dev/null || break # else a signal has ended the wait, and not the child
    done
    child=
    [ -z "$stopped" ] || [ "$code" != 143 ] || code=130
    [ "$code" = 0 ] || leave "$code"
}

leave() {
    if [ -n "$node" ]; then
        kill -TERM "$node" 2>/dev/null || true
        wait "$node" || true
    fi
    exit "$1"
}

trap stop TERM INT
if [ "${RAY_JOIN:-1}" = 1 ]; then
    node_options 0 0
    ray start --address "$RAY_HEAD_ADDRESS" "${NODE_OPTIONS[@]}" >/dev/null &
    node=$!
fi
attend python "$here/wait_for_cpus.py" "$RAY_HEAD_ADDRESS" "${RAY_CPUS_WANTED:-1}" "${WAIT_SECONDS:-120}"
attend flyp-sweep run "$@" --address "$RAY_HEAD_ADDRESS"
leave 0
