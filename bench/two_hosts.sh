#!/usr/bin/env bash
# Runs a command on two "hosts" of this machine: network namespaces with a slow link between them, one rank in each.
#
#   bench/two_hosts.sh [-r MBIT] [-d DELAY_MS] -- creamery search --mpi ...
#
# The link has MBIT (100) and DELAY_MS (5, each way); see bench/slow_link.py. Needs root, iproute2, Python and Open MPI.
# Touches nothing but two namespaces of its own, which it removes.
set -euo pipefail

mbit=100 delay=5
while getopts r:d: option; do
    case $option in
    r) mbit=$OPTARG ;;
    d) delay=$OPTARG ;;
    *) exit 2 ;;
    esac
done
shift $((OPTIND - 1))
[ "${1:-}" != -- ] || shift
[ $# -gt 0 ] || { sed -n '2,7s/^# \?//p' "$0" >&2; exit 2; }

hosts=(creamery-a creamery-b)
addresses=(10.231.0.1 10.231.0.2)
scratch=$(mktemp -d)
link=
clean() {
    [ -z "$link" ] || { kill "$link" && wait "$link"; } 2>/dev/null || true
    for host in "${hosts[@]}"; do
        ip netns pids "$host" 2>/dev/null | xargs -r kill -9 2>/dev/null || true
        ip netns delete "$host" 2>/dev/null || true
    done
    rm -rf "$scratch"
}
trap clean EXIT

for host in "${hosts[@]}"; do
    ip netns add "$host"
    ip -n "$host" link set lo up
done
touch "$scratch/link"
python3 "$(dirname "$0")/slow_link.py" --mbit "$mbit" --delay-ms "$delay" \
    "${hosts[0]}=${addresses[0]}" "${hosts[1]}=${addresses[1]}" >"$scratch/link" &
link=$!
until grep -q ready "$scratch/link"; do
    kill -0 "$link"
    sleep 0.05
done

# mpirun starts its daemon on a host as it would by ssh: AGENT HOST COMMAND.
cat > "$scratch/agent" <<'AGENT'
#!/bin/sh
case $1 in
10.231.0.1) host=creamery-a ;;
10.231.0.2) host=creamery-b ;;
esac
shift
exec ip netns exec "$host" sh -c "$*"
AGENT
chmod +x "$scratch/agent"

export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
ip netns exec "${hosts[0]}" mpirun -n 2 \
    --host "${addresses[0]}:1,${addresses[1]}:1" \
    --mca plm_rsh_agent "$scratch/agent" --mca orte_keep_fqdn_hostnames 1 \
    --mca btl tcp,self --mca btl_tcp_if_include 10.231.0.0/24 --mca oob_tcp_if_include 10.231.0.0/24 \
    --bind-to none --mca mpi_yield_when_idle 1 "$@"
