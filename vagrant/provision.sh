#!/usr/bin/env bash
# Makes this machine a node of the three-node cluster: installs portolan, routes the pod networks,
# starts this node's pods and the agent.
#
#   provision.sh n1|n2|n3                as root, on a machine that has the node's address
#
#   PORTOLAN_MODE      nftables (default), iptables, ipvs
#   PORTOLAN_BINARY    the program to install (default: target/release/portolan of the sources that
#                      this file is in)
#   PORTOLAN_PACKAGE   a Debian package to install instead
#
# May be run again, after a change or in another mode. With systemd, pods and agent are transient
# units (systemctl status portolan, journalctl -u portolan); without, plain processes with a log in
# /var/log/portolan. A pod is a network namespace with the small web server of portolan's own lab in it.
set -euo pipefail
here=$(cd "$(dirname "$(readlink -f "$0")")" && pwd)
sources=$(dirname "$here")

# The address plan: nodes' addresses and their pod networks, /24 each out of 10.233.64.0/18.
nodes=(n1 n2 n3)
declare -A address=([n1]=192.168.10.100 [n2]=192.168.10.150 [n3]=192.168.10.200)
declare -A pods=([n1]=10.233.64 [n2]=10.233.65 [n3]=10.233.66)
service_cidr=10.233.0.0/18 cluster_cidr=10.233.64.0/18 cluster_dns=10.233.0.3

node=${1:-}
mode=${PORTOLAN_MODE:-nftables}
manifests=/etc/portolan/manifests

fail() {
    echo "provision.sh: $*" >&2
    exit 1
}

has_systemd() {
    [[ -d /run/systemd/system ]]
}

# have FILE-OR-PROGRAM PACKAGE: notes the package if it is missing.
missing=()
have() {
    [[ -e $1 ]] || command -v "$1" >/dev/null || missing+=("$2")
}

install_package() {
    local libraries
    libraries=/usr/lib/$(uname -m)-linux-gnu
    have "$libraries/libmnl.so.0" libmnl0
    have "$libraries/libnftnl.so.11" libnftnl11
    have curl curl
    have nft nftables
    [[ $mode != iptables ]] || have iptables iptables
    [[ $mode != ipvs ]] || have ipvsadm ipvsadm
    [[ -z ${PORTOLAN_PACKAGE:-} ]] || missing+=("$(readlink -f "$PORTOLAN_PACKAGE")")
    if [[ ${#missing[@]} -gt 0 ]]; then
        export DEBIAN_FRONTEND=noninteractive
        apt-get -q update
        apt-get -q -y install --no-install-recommends "${missing[@]}"
    fi
    [[ -n ${PORTOLAN_PACKAGE:-} ]] || install_binary
}

install_binary() {
    local binary=${PORTOLAN_BINARY:-$sources/target/release/portolan}
    [[ -x $binary ]] || fail "there is no $binary: cargo build --release makes it"
    install -D -m 755 "$binary" /usr/local/bin/portolan
}

# What a node of Kubernetes has: forwarding, and no filter on the way that packets come.
prepare_node() {
    sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0 \
        net.ipv4.conf.default.rp_filter=0
    if [[ $mode == ipvs ]]; then
        modprobe -a ip_vs ip_vs_rr dummy
    fi
    # The kernel would find these by itself, one process for each.
    modprobe -qa nft_chain_nat nft_ct nft_fib_inet nft_masq nft_numgen nft_reject_inet || true
}

route_pod_networks() {
    local other
    for other in "${nodes[@]}"; do
        [[ $other != "$node" ]] || continue
        ip route replace "${pods[$other]}.0/24" via "${address[$other]}"
    done
    ip link show cbr0 >/dev/null 2>&1 || ip link add cbr0 type bridge
    ip address replace "${pods[$node]}.1/24" dev cbr0
    ip link set cbr0 up
}

# stop UNIT: if it runs.
stop() {
    if has_systemd; then
        systemctl stop "$1" 2>/dev/null || true
        systemctl reset-failed "$1" 2>/dev/null || true
    elif [[ -e /run/portolan/$1.pid ]]; then
        kill "$(<"/run/portolan/$1.pid")" 2>/dev/null || true
        rm -f "/run/portolan/$1.pid"
    fi
}

# start UNIT COMMAND…: anew, in the background. NAMESPACE may name a network namespace to be in.
start() {
    local unit=$1 in_namespace=()
    shift
    stop "$unit"
    if has_systemd; then
        [[ -z ${NAMESPACE:-} ]] ||
            in_namespace=(--property "NetworkNamespacePath=/run/netns/$NAMESPACE")
        systemd-run --quiet --unit "$unit" --property Restart=on-failure \
            "${in_namespace[@]}" -- "$@"
    else
        mkdir -p /run/portolan /var/log/portolan
        [[ -z ${NAMESPACE:-} ]] || in_namespace=(ip netns exec "$NAMESPACE")
        "${in_namespace[@]}" setsid "$@" </dev/null >"/var/log/portolan/$unit.log" 2>&1 &
        echo $! >"/run/portolan/$unit.pid"
    fi
}

# A pod has a host route to its node and nothing else on the link, so that replies to other pods of
# the node pass the node's address translation too. Hairpin: a pod may reach itself by a Service.
make_namespace() { # POD ADDRESS
    local pod=$1 link=v-${1:0:12}
    ip netns delete "$pod" 2>/dev/null || true
    ip link delete "$link" 2>/dev/null || true
    ip netns add "$pod"
    ip link add "$link" type veth peer name eth0 netns "$pod"
    ip link set "$link" master cbr0 up
    ip link set "$link" type bridge_slave hairpin on
    ip -n "$pod" link set lo up
    ip -n "$pod" address add "$2/32" dev eth0
    ip -n "$pod" link set eth0 up
    ip -n "$pod" route add default via "${pods[$node]}.1" dev eth0 onlink
    mkdir -p "/etc/netns/$pod"
    {
        echo "nameserver $(name_server)"
        echo "search default.svc.cluster.local svc.cluster.local cluster.local"
    } >"/etc/netns/$pod/resolv.conf"
}

# Each node has one of the three pods of mydeploy.yml and one of the StatefulSet of cassandra.yml.
# Nothing here schedules: which pod is where is part of the plan.
#
# all_pods: a line each, NAME NODE ADDRESS LABEL PORT…
all_pods() {
    local number=0 name
    for name in "${nodes[@]}"; do
        echo "mydp-$((number + 1)) $name ${pods[$name]}.10 webui 80 8080"
        echo "cassandra-$number $name ${pods[$name]}.20 cassandra 9042"
        number=$((number + 1))
    done
}

start_pods() {
    local pod where ip ports port options
    while read -r pod where ip _ ports; do
        [[ $where == "$node" ]] || continue
        stop "pod-$pod"
        make_namespace "$pod" "$ip"
        options=()
        for port in $ports; do options+=(--tcp "$port"); done
        NAMESPACE=$pod start "pod-$pod" "$(command -v portolan)" lab serve-pod \
            --pod-name "$pod" --node-name "$node" "${options[@]}"
    done < <(all_pods)
}

# What the API server would tell of a pod.
pod_manifest() { # NAME NODE ADDRESS LABEL PORT…
    local name=$1 where=$2 ip=$3 label=$4 port
    shift 4
    cat <<YAML
---
apiVersion: v1
kind: Pod
metadata:
  name: $name
  namespace: default
  labels:
    app: $label
spec:
  nodeName: $where
  hostname: $name
  subdomain: $label
  containers:
  - name: server
    image: none
    ports:
YAML
    for port in "$@"; do echo "    - containerPort: $port"; done
    cat <<YAML
status:
  phase: Running
  podIP: $ip
  podIPs:
  - ip: $ip
  conditions:
  - type: Ready
    status: "True"
YAML
}

# The examples, and the pods of all nodes.
write_manifests() {
    local pod
    mkdir -p "$manifests"
    cp "$sources"/examples/*.yml "$manifests/"
    while read -r -a pod; do
        pod_manifest "${pod[@]}"
    done < <(all_pods) >"$manifests/pods.yml"
}

# Answering DNS at its cluster IP on the node itself is not for every mode; its own address is.
has_node_local_dns() {
    [[ $mode == nftables || $mode == iptables ]]
}

name_server() {
    if has_node_local_dns; then echo "$cluster_dns"; else echo "${address[$node]}"; fi
}

start_agent() {
    local options=(--mode "$mode" --node-name "$node" --dns-listen "${address[$node]}"
        --cluster-cidr "$cluster_cidr" --service-cidr "$service_cidr")
    ! has_node_local_dns || options+=(--dns-node-local "$cluster_dns")
    start portolan "$(command -v portolan)" run --verbose --take-over -f "$manifests" \
        "${options[@]}"
}

agent_log() {
    if has_systemd; then
        journalctl --no-pager --lines 40 --unit portolan
    else
        cat /var/log/portolan/portolan.log
    fi
}

# Healthy it is from the start; that the rules are in force, it says by the time of its last sync.
wait_for_agent() {
    local until=$((SECONDS + 300))
    local loaded='^kubeproxy_sync_proxy_rules_last_timestamp_seconds({.*})? [1-9]'
    until curl -s --max-time 5 http://127.0.0.1:10249/metrics | grep -E "$loaded" >/dev/null; do
        if ((SECONDS > until)); then
            agent_log >&2
            fail "the agent has not loaded its rules"
        fi
        sleep 2
    done
}

[[ -n ${address[$node]:-} ]] || fail "which node is this: ${nodes[*]}?"
[[ $EUID -eq 0 ]] || fail "root is needed"
ip -4 -oneline address show | grep -qF " ${address[$node]}/" ||
    fail "$node should have the address ${address[$node]}"

echo "$node: installing portolan"
install_package
prepare_node
route_pod_networks
stop portolan
start_pods
write_manifests
echo "$node: starting the agent in $mode mode"
start_agent
wait_for_agent
echo "$node: ready"
