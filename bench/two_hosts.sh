#!/usr/bin/env bash
# Runs a command on two "hosts" of this machine: network namespaces with a slowed link between them, one rank in each.
#
#   bench/two_hosts.sh [-r RATE] [-d DELAY] -- creamery search --mpi ...
#
# RATE (100mbit) and DELAY (5ms, each way) are tc's; `-r none` leaves the link as fast as it is. Needs root, iproute2
# and Open MPI. Touches nothing but two namespaces of its own, which it removes, and prints the bytes that the first
# has sent to standard error.
set -euo pipefail

rate=100mbit delay=5ms
while getopts r:d: option; do
    case $option in
    r) rate=$OPTARG ;;
    d) delay=$OPTARG ;;
    *) exit 2 ;;
    esac
done
shift $((OPTIND - 1))
[ "${1:-}" = -- ] && shift
[ $# -gt 0 ] || { sed -n '2,8s/^# \?//p' "$0" >&2; exit 2; }

hosts=(creamery-a creamery-b)
addresses=(10.231.0.1 10.231.0.2)
scratch=$(mktemp -d)
# Ends what still runs in the namespaces, too.
clean() {
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
ip link add link0 netns "${hosts[0]}" type veth peer name link0 netns "${hosts[1]}"
for i in 0 1; do
    ip -n "${hosts[$i]}" address add "${addresses[$i]}/24" dev link0
    ip -n "${hosts[$i]}" link set link0 up
    if [ "$rate" != none ]; then
        # The queue holds a tenth of a second: a switch's buffer, rather than loss.
        ip netns exec "${hosts[$i]}" tc qdisc add dev link0 root netem rate "$rate" delay "$delay" limit 2000
    fi
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
status=0
ip netns exec "${hosts[0]}" mpirun -n 2 \
    --host "${addresses[0]}:1,${addresses[1]}:1" \
    --mca plm_rsh_agent "$scratch/agent" --mca orte_keep_fqdn_hostnames 1 \
    --mca btl tcp,self --mca btl_tcp_if_include 10.231.0.0/24 --mca oob_tcp_if_include 10.231.0.0/24 \
    --bind-to none --mca mpi_yield_when_idle 1 "$@" || status=$?
sent=$(ip -n "${hosts[0]}" -s link show link0 | awk '/TX:/ { getline; print $1 }')
echo "bytes sent by the first host: $sent" >&2
exit $status
