//! What only the iptables mode has: chains that `iptables` lists, changes and saves.

mod neighbours;
mod verify;
