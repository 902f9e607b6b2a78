//! What a server counts and measures, under CoreDNS' names where they mean the same.

use std::time::Duration;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType;
use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, Opts, Registry};

use super::respond::Client;

/// Over what a question came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    Udp,
    Tcp,
}

/// Types that are counted each for itself, as CoreDNS does; what is left is `other`.
const TYPES: [RecordType; 14] = [
    RecordType::A,
    RecordType::AAAA,
    RecordType::CNAME,
    RecordType::DNSKEY,
    RecordType::DS,
    RecordType::HTTPS,
    RecordType::MX,
    RecordType::NS,
    RecordType::PTR,
    RecordType::SOA,
    RecordType::SRV,
    RecordType::SVCB,
    RecordType::TXT,
    RecordType::AXFR,
];
const CODES: [(ResponseCode, &str); 8] = [
    (ResponseCode::NoError, "NOERROR"),
    (ResponseCode::NXDomain, "NXDOMAIN"),
    (ResponseCode::ServFail, "SERVFAIL"),
    (ResponseCode::Refused, "REFUSED"),
    (ResponseCode::FormErr, "FORMERR"),
    (ResponseCode::NotImp, "NOTIMP"),
    (ResponseCode::BADVERS, "BADVERS"),
    (ResponseCode::NotAuth, "NOTAUTH"),
];
const TRANSPORTS: [&str; 2] = ["udp", "tcp"];
/// IANA's address families.
const FAMILIES: [&str; 2] = ["1", "2"];

/// The metrics of a server. Handles are looked up beforehand: counting is one atomic addition.
pub struct DnsMetrics {
    /// By transport, family and type.
    requests: Vec<IntCounter>,
    responses: Vec<IntCounter>,
    other_responses: IntCounter,
    duration: Histogram,
    size: Histogram,
    overloaded: IntCounter,
    truncated: IntCounter,
    dropped: IntCounter,
    /// Questions to upstream, by outcome.
    pub(in crate::dns) forwarded: IntCounterVec,
    /// Answers from the cache of upstream's answers.
    pub(in crate::dns) cache_hits: IntCounter,
    /// Questions that it did not hold.
    pub(in crate::dns) cache_misses: IntCounter,
}

impl std::fmt::Debug for DnsMetrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DnsMetrics").finish_non_exhaustive()
    }
}

impl DnsMetrics {
    /// Registers the metrics.
    ///
    /// # Errors
    /// A metric of one of these names is registered already.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let requests = counters(
            registry,
            "coredns_dns_requests_total",
            "Counter of DNS requests made per zone, protocol and family.",
            &["family", "proto", "type"],
        )?;
        let mut handles = Vec::new();
        for transport in TRANSPORTS {
            for family in FAMILIES {
                for kind in TYPES {
                    let labels = [family, transport, kind.into()];
                    handles.push(requests.with_label_values(&labels));
                }
                handles.push(requests.with_label_values(&[family, transport, "other"]));
            }
        }
        let responses = counters(
            registry,
            "coredns_dns_responses_total",
            "Counter of response status codes.",
            &["rcode"],
        )?;
        let exceeded = counters(
            registry,
            "coredns_rrl_requests_exceeded_total",
            "Counter of requests exceeding QPS limit.",
            &["action"],
        )?;
        let by_code = CODES.map(|(_, name)| responses.with_label_values(&[name]));
        Ok(Self {
            requests: handles,
            responses: by_code.into(),
            other_responses: responses.with_label_values(&["other"]),
            duration: histogram(
                registry,
                "coredns_dns_request_duration_seconds",
                "Histogram of the time (in seconds) each request took per zone.",
                prometheus::exponential_buckets(0.000_25, 2.0, 16)?,
            )?,
            size: histogram(
                registry,
                "coredns_dns_response_size_bytes",
                "Size of the returned response in bytes.",
                vec![
                    0.0, 100.0, 200.0, 300.0, 400.0, 511.0, 1023.0, 2047.0, 4095.0, 8291.0,
                    16_000.0, 32_000.0, 48_000.0, 64_000.0,
                ],
            )?,
            overloaded: counter(
                registry,
                "coredns_forward_max_concurrent_rejects_total",
                "Counter of the number of queries rejected because the concurrent queries were \
                 at maximum.",
            )?,
            truncated: exceeded.with_label_values(&["truncated"]),
            dropped: exceeded.with_label_values(&["dropped"]),
            forwarded: counters(
                registry,
                "coredns_proxy_requests_total",
                "Counter of requests made per upstream, by response code or failure.",
                &["to", "rcode"],
            )?,
            cache_hits: counter(
                registry,
                "coredns_cache_hits_total",
                "The count of cache hits.",
            )?,
            cache_misses: counter(
                registry,
                "coredns_cache_misses_total",
                "The count of cache misses.",
            )?,
        })
    }

    pub(super) fn asked(&self, client: Client, kind: RecordType) {
        let transport = usize::from(client.transport == Transport::Tcp);
        let family = client
            .address
            .is_some_and(|address| address.is_ipv6() && !address.ip().to_canonical().is_ipv4());
        let known = TYPES.iter().position(|known| *known == kind);
        let place = (transport * FAMILIES.len() + usize::from(family)) * (TYPES.len() + 1)
            + known.unwrap_or(TYPES.len());
        if let Some(counter) = self.requests.get(place) {
            counter.inc();
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "sizes are far below 2^53")]
    pub(super) fn answered(&self, code: ResponseCode, size: usize) {
        let known = CODES.iter().position(|(known, _)| *known == code);
        let counter = known.and_then(|place| self.responses.get(place));
        counter.unwrap_or(&self.other_responses).inc();
        self.size.observe(size as f64);
    }

    /// So many requests were taken together and answered within this time.
    pub(super) fn took(&self, elapsed: Duration, requests: usize) {
        for _ in 0..requests {
            self.duration.observe(elapsed.as_secs_f64());
        }
    }

    /// A query came over its client's rate.
    pub(super) fn limited(&self, truncated: bool) {
        let counter = if truncated {
            &self.truncated
        } else {
            &self.dropped
        };
        counter.inc();
    }

    pub(super) fn overloaded(&self) {
        self.overloaded.inc();
    }
}

fn counters(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> Result<IntCounterVec, prometheus::Error> {
    let metric = IntCounterVec::new(Opts::new(name, help), labels)?;
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

fn counter(registry: &Registry, name: &str, help: &str) -> Result<IntCounter, prometheus::Error> {
    let metric = IntCounter::new(name, help)?;
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

fn histogram(
    registry: &Registry,
    name: &str,
    help: &str,
    buckets: Vec<f64>,
) -> Result<Histogram, prometheus::Error> {
    let metric = Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets))?;
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}
