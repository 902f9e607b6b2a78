//! What portolan's iptables rules do and how they read, on clusters built by hand: no kernel
//! needed. Packets are sent through the rules by a simulator.

mod cluster;
mod counts;
mod example;
mod flows_clusterip;
mod flows_endpoints;
mod flows_external;
mod flows_masquerade;
mod flows_nodeport;
mod large_cluster;
mod shape;
mod simulator;
mod text;
