//! Changes under traffic: the parts of `traffic/lifecycle` that are about what clients notice.

#[path = "../traffic/lifecycle/connections.rs"]
mod connections;
#[path = "../traffic/lifecycle/stop.rs"]
mod stop;

pub(crate) use stop::Stop;
