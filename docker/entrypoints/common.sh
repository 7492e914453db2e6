# shellcheck shell=bash
# What the entry points share. Sourced, never run; the sourcing script has set -euo pipefail.

readonly OPEN_SECONDS=2

# Ends the script with one line that says what was found, what was expected and what to do.
fail() {
    echo "${0##*/}: $*" >&2
    exit 2
}

# Fails unless every variable that is named is set and not empty.
required() {
    local name
    for name in "$@"; do
        [ -n "${!name:-}" ] || fail "$name: found nothing in the environment; set it (docker/.env.example says what it is)"
    done
}

# Whether something listens at HOST PORT.
listens() {
    # shellcheck disable=SC2016  # the inner shell expands its own arguments
    timeout "$OPEN_SECONDS" bash -c 'exec 3<>"/dev/tcp/$0/$1"' "$1" "$2" 2>/dev/null
}

# Returns once something listens at HOST PORT; fails after WAIT_SECONDS. WHAT is for the message.
wait_for() {
    local host=$1 port=$2 what=$3 seconds=${WAIT_SECONDS:-120}
    local deadline=$((SECONDS + seconds))
    until listens "$host" "$port"; do
        [ "$SECONDS" -lt "$deadline" ] ||
            fail "$what: found nothing listening at $host:$port for $seconds s; start it, or raise WAIT_SECONDS"
        sleep 0.5
    done
}

# Tokens are on unless someone says otherwise: who reaches Ray's ports can run any code as its user.
ray_environment() {
    export RAY_AUTH_MODE=${RAY_AUTH_MODE:-token} RAY_USAGE_STATS_ENABLED=${RAY_USAGE_STATS_ENABLED:-0}
    if [ "$RAY_AUTH_MODE" = token ] && [ -z "${RAY_AUTH_TOKEN_PATH:-}" ]; then
        required RAY_AUTH_TOKEN
    fi
}

# Returns once the head at RAY_HEAD_ADDRESS answers; fails when it does not in time, or refuses our token.
wait_for_head() {
    local told
    required RAY_HEAD_ADDRESS
    [[ $RAY_HEAD_ADDRESS == *?:+([0-9]) ]] || fail "RAY_HEAD_ADDRESS: found $RAY_HEAD_ADDRESS; expected HOST:PORT"
    # Not by health-check alone, which takes 40 s to find that nobody is there.
    wait_for "${RAY_HEAD_ADDRESS%:*}" "${RAY_HEAD_ADDRESS##*:}" "Ray's head"
    told=$(ray health-check --address "$RAY_HEAD_ADDRESS" 2>&1) && return
    case $told in
    *InvalidAuthToken*) fail "Ray's head at $RAY_HEAD_ADDRESS refuses our token; give every node the same RAY_AUTH_TOKEN" ;;
    *) fail "Ray's head: found something at $RAY_HEAD_ADDRESS that is no healthy Ray (${told##*$'\n'})" ;;
    esac
}

# What every node of the cluster is started with: NODE_OPTIONS. Arguments: CPUs and GPUs, empty for those of the machine.
node_options() {
    NODE_OPTIONS=(--block --disable-usage-stats)
    # Trials pass only small results; Ray would take a third of the memory.
    NODE_OPTIONS+=(--object-store-memory "${RAY_OBJECT_STORE_BYTES:-104857600}")
    [ -z "$1" ] || NODE_OPTIONS+=(--num-cpus "$1")
    [ -z "$2" ] || NODE_OPTIONS+=(--num-gpus "$2")
    [ -z "${RAY_NODE_IP:-}" ] || NODE_OPTIONS+=(--node-ip-address "$RAY_NODE_IP")
}
