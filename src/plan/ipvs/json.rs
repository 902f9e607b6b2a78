//! Virtual servers as JSON, for programs.

use std::net::IpAddr;

use serde_json::{Value, json};

use super::server::{Server, ServerKey};

/// All virtual servers, and the addresses of the dummy device.
#[must_use]
pub fn state<'a>(
    servers: impl IntoIterator<Item = (&'a ServerKey, &'a Server)>,
    addresses: impl IntoIterator<Item = IpAddr>,
) -> Value {
    let servers: Vec<_> = servers.into_iter().map(|(k, s)| server(k, s)).collect();
    let addresses: Vec<_> = addresses.into_iter().map(|ip| ip.to_string()).collect();
    json!({ "virtualServers": servers, "addresses": addresses })
}

fn server(key: &ServerKey, server: &Server) -> Value {
    let reals = server.reals.iter();
    let reals = reals.map(|(socket, weight)| {
        json!({ "address": socket.ip().to_string(), "port": socket.port(), "weight": weight })
    });
    json!({
        "address": key.address.to_string(),
        "port": key.port,
        "protocol": key.protocol.upper(),
        "scheduler": server.spec.scheduler.to_string(),
        "persistenceSeconds": server.spec.persistence,
        "realServers": reals.collect::<Vec<_>>(),
    })
}
