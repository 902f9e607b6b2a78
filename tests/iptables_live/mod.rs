//! Following changes of the iptables mode.

mod following;
mod listing;
mod repair;
mod support;
