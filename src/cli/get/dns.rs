//! Every record of the cluster domain, with what it comes from.

use serde_json::json;

use super::{Listing, Row};
use crate::dns::zone::{self, Zone, ZoneOptions};
use crate::model::Snapshot;

/// The records that a name server of this snapshot has.
pub(super) fn listing(snapshot: &Snapshot, options: ZoneOptions) -> Listing {
    let zone = Zone::new(options, snapshot, 0);
    let mut records = zone::listed(&zone);
    records.extend(zone::listed_addresses(&zone));
    let row = |record: hickory_proto::rr::Record| {
        let origin = zone.origin(&record);
        let from = origin.as_ref().map(ToString::to_string).unwrap_or_default();
        let namespace = origin.and_then(|origin| origin.service().cloned());
        let namespace = namespace.map(|service| service.namespace.to_string());
        let (name, kind) = (record.name.to_string(), record.record_type().to_string());
        let data = record.data.to_string();
        Row {
            cells: vec![
                name.clone(),
                record.ttl.to_string(),
                kind.clone(),
                data.clone(),
            ],
            wide_cells: vec![from.clone()],
            object: json!({
                "kind": "DNSRecord",
                "metadata": { "name": name },
                "record": { "type": kind, "ttl": record.ttl, "data": data, "from": from },
            }),
            namespace,
            name,
        }
    };
    Listing {
        kind: "Record",
        headings: &["NAME", "TTL", "TYPE", "DATA"],
        wide_headings: &["FROM"],
        rows: records.into_iter().map(row).collect(),
    }
}
