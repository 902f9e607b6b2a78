#!/usr/bin/env bash
# Goes through the course on the three-node cluster, with curl and dig.
#
#   verify.sh [outside]    from a fourth machine in 192.168.10.0/24: node ports, LoadBalancer behind
#                          HAProxy, names
#   verify.sh inside       on a node, as root: the same Services from its pods
#
#   PORTOLAN_MODE          as given to provision.sh: ipvs is held to exact round robin, the others
#                          choose at random
set -euo pipefail
here=$(cd "$(dirname "$(readlink -f "$0")")" && pwd)

addresses=(192.168.10.100 192.168.10.150 192.168.10.200)
pods=(mydp-1 mydp-2 mydp-3)
mode=${PORTOLAN_MODE:-nftables}
connections=60
# How a node chooses among the pods.
usual=random
[[ $mode != ipvs ]] || usual=exact
failures=0

ok() { echo "  ok    $*"; }
bad() {
    echo "  FAIL  $*"
    failures=$((failures + 1))
}

# Runs a command from where clients are: here, or in this node's pod.
from=()
client() {
    "${from[@]}" "$@"
}

wait_until_served() { # URL
    local tries
    for ((tries = 0; tries < 100; tries++)); do
        ! client curl -s --max-time 3 -o /dev/null "$1" || return 0
        sleep 1
    done
    bad "$1 has not answered for minutes"
    return 1
}

# is_fair exact|random COUNT: whether it is what one of three equal pods has to get. At random, 60
# connections leave these bounds once in 50 000 times.
is_fair() {
    if [[ $1 == exact ]]; then
        (($2 == connections / 3))
    else
        (($2 >= 5 && $2 <= 37))
    fi
}

# spread TITLE URL [exact|random]: connections to one URL, and who answered.
spread() {
    local what="$1: $2, $connections connections:" choice=${3:-$usual} answers pod count total=0
    # One process for all: every answer ends its connection.
    answers=$(client curl -sS --max-time 60 "$2/?[1-$connections]" 2>&1) || true
    local fair=true
    for pod in "${pods[@]}"; do
        count=$(grep -c "^$pod on " <<<"$answers") || true
        total=$((total + count)) what+=" $pod $count"
        is_fair "$choice" "$count" || fair=false
    done
    if $fair && ((total == connections)); then
        ok "$what"
    else
        bad "$what"
        grep -v '^mydp-. on n. ' <<<"$answers" | sort | uniq -c || true
    fi
}

# names_are TITLE EXPECTED DIG-ARGUMENT…: what dig answers, sorted, on one line.
names_are() {
    local title=$1 expected=$2 answer
    shift 2
    answer=$(client dig +short +time=5 +tries=2 "$@" 2>&1 | sort | paste -sd ' ') || true
    if [[ $answer == "$expected" ]]; then
        ok "$title: dig $*: $answer"
    else
        bad "$title: dig $*: \"$answer\", not \"$expected\""
    fi
}

names() { # WHERE DIG-ARGUMENT…
    local zone=default.svc.cluster.local web='10.233.64.10 10.233.65.10 10.233.66.10'
    names_are "ClusterIP by name" 10.233.10.10 "$@" myclusterip.$zone
    names_are "Headless" "$web" "$@" myhead.$zone
    names_are "StatefulSet" 10.233.64.20 "$@" cassandra-0.cassandra.$zone
    names_are "StatefulSet" 10.233.66.20 "$@" cassandra-2.cassandra.$zone
    names_are "ExternalName" db.external.com. "$@" external-db.$zone CNAME
}

# The course's balancer in front: its configuration is haproxy.cfg, on a port of our own.
behind_haproxy() {
    local directory process
    if ! command -v haproxy >/dev/null; then
        echo "  --    LoadBalancer behind HAProxy: haproxy is not installed here"
        return
    fi
    directory=$(mktemp -d)
    sed 's/bind \*:80$/bind 127.0.0.1:18080/' "$here/haproxy.cfg" >"$directory/haproxy.cfg"
    haproxy -db -f "$directory/haproxy.cfg" >"$directory/log" 2>&1 &
    process=$!
    # Its own checks take turns of the nodes as well: no pod gets an exact share.
    ! wait_until_served http://127.0.0.1:18080 ||
        spread "LoadBalancer behind HAProxy" http://127.0.0.1:18080 random
    kill "$process" 2>/dev/null || true
    wait "$process" 2>/dev/null || true
    rm -rf "$directory"
}

outside() {
    local node
    for node in "${addresses[@]}"; do
        wait_until_served "http://$node:30080" || continue
        spread "NodePort" "http://$node:30080"
        spread "LoadBalancer's node port" "http://$node:32000"
    done
    behind_haproxy
    names "@${addresses[0]}"
    if curl -s --max-time 3 -o /dev/null http://10.233.10.10; then
        bad "ClusterIP: 10.233.10.10 answers outside of the cluster"
    else
        ok "ClusterIP: 10.233.10.10 is not for the outside"
    fi
}

inside() {
    local pod='' name
    for name in "${pods[@]}"; do
        [[ ! -e /run/netns/$name ]] || pod=$name
    done
    [[ -n $pod ]] || {
        echo "verify.sh: none of ${pods[*]} is here: is this a node?" >&2
        exit 2
    }
    from=(ip netns exec "$pod")
    for name in 10.233.64.10 10.233.65.10 10.233.66.10; do
        wait_until_served "http://$name" || return 0
    done
    spread "ClusterIP, from $pod" http://10.233.10.10
    spread "ClusterIP by name, from $pod" http://mycluster
    spread "LoadBalancer's cluster IP, from $pod" http://10.233.10.100
    names
    from=()
    spread "ClusterIP, from the node" http://10.233.10.10
}

case ${1:-outside} in
outside | inside) ;;
*)
    sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0" >&2
    exit 2
    ;;
esac
for program in curl dig; do
    command -v "$program" >/dev/null || {
        echo "verify.sh: $program is needed (Debian: curl, bind9-dnsutils)" >&2
        exit 2
    }
done
echo "The course, ${1:-outside}, in $mode mode"
"${1:-outside}"
if ((failures > 0)); then
    echo "$failures failed"
    exit 1
fi
echo "All as it should be"
