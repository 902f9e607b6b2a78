//! The JSON texts of health answers, key by key as kube-proxy writes them.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::ser::PrettyFormatter;

use super::Report;
use crate::agent::metrics::Probe;
use crate::model::NamespacedName;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    last_updated: &'a str,
    current_time: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    node_eligible: Option<bool>,
    healthy: bool,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    status: BTreeMap<String, FamilyAnswer<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stuck_watch: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FamilyAnswer<'a> {
    last_updated: &'a str,
    healthy: bool,
}

/// Go's zero time, which kube-proxy shows before the first sync.
const NEVER: &str = "0001-01-01T00:00:00Z";

impl Report {
    /// The answer to a probe: status code and body.
    ///
    /// A node that is being deleted is not eligible for traffic from outside, while what runs on it
    /// is as healthy as before: only `/healthz` fails then (KEP-3836).
    #[must_use]
    pub fn answer(&self, probe: Probe) -> (u16, String) {
        // Nobody is helped by a balancer leaving a node whose rules work; a restart may help it.
        let stuck_watch = self.stuck.filter(|_| probe == Probe::Livez);
        let eligible = self.eligible || probe == Probe::Livez;
        let healthy = self.healthy && eligible && stuck_watch.is_none();
        let code = if healthy { 200 } else { 503 };
        let now = self.now.to_string();
        let updated = self
            .updated
            .map_or_else(|| NEVER.to_owned(), |updated| updated.to_string());
        let status = self.families.iter().map(|family| {
            let answer = FamilyAnswer {
                last_updated: &updated,
                healthy: self.healthy,
            };
            (family.to_string(), answer)
        });
        let answer = Answer {
            last_updated: if healthy { &now } else { &updated },
            current_time: &now,
            node_eligible: (probe == Probe::Healthz).then_some(self.eligible),
            healthy: self.healthy,
            status: status.collect(),
            stuck_watch,
        };
        (code, serde_json::to_string(&answer).unwrap_or_default())
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct HealthCheck<'a> {
    service: ServiceRef<'a>,
    local_endpoints: usize,
    service_proxy_healthy: bool,
}

#[derive(Serialize)]
struct ServiceRef<'a> {
    namespace: &'a str,
    name: &'a str,
}

/// The body of a health-check node port: how many endpoints of the Service are on this node.
#[must_use]
pub fn health_check_body(service: &NamespacedName, endpoints: usize, healthy: bool) -> String {
    let body = HealthCheck {
        service: ServiceRef {
            namespace: &service.namespace,
            name: &service.name,
        },
        local_endpoints: endpoints,
        service_proxy_healthy: healthy,
    };
    let mut text = Vec::new();
    let mut writer =
        serde_json::Serializer::with_formatter(&mut text, PrettyFormatter::with_indent(b"\t"));
    // Writing text into memory cannot fail.
    let _ = body.serialize(&mut writer);
    String::from_utf8(text).unwrap_or_default()
}

/// Status code of a health-check node port.
#[must_use]
pub fn health_check_response(endpoints: usize, healthy: bool) -> u16 {
    if endpoints > 0 && healthy { 200 } else { 503 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::IpFamily;

    fn report(healthy: bool) -> Report {
        Report {
            healthy,
            eligible: true,
            families: IpFamily::ALL.to_vec(),
            updated: Some("2026-05-01T10:00:00.25Z".parse().unwrap()),
            now: "2026-05-01T10:00:05Z".parse().unwrap(),
            stuck: None,
        }
    }

    #[test]
    fn healthz_is_worded_as_kube_proxy_words_it() {
        let (code, body) = report(true).answer(Probe::Healthz);
        assert_eq!(code, 200);
        assert_eq!(
            body,
            "{\"lastUpdated\":\"2026-05-01T10:00:05Z\",\"currentTime\":\"2026-05-01T10:00:05Z\",\
             \"nodeEligible\":true,\"healthy\":true,\"status\":{\
             \"IPv4\":{\"lastUpdated\":\"2026-05-01T10:00:00.25Z\",\"healthy\":true},\
             \"IPv6\":{\"lastUpdated\":\"2026-05-01T10:00:00.25Z\",\"healthy\":true}}}"
        );
    }

    #[test]
    fn an_unhealthy_agent_says_when_it_last_was_up_to_date() {
        let (code, body) = report(false).answer(Probe::Livez);
        assert_eq!(code, 503);
        let start = "{\"lastUpdated\":\"2026-05-01T10:00:00.25Z\",\
                     \"currentTime\":\"2026-05-01T10:00:05Z\",\"healthy\":false,";
        assert!(body.starts_with(start), "{body}");
    }

    #[test]
    fn only_healthz_fails_while_the_node_is_being_deleted() {
        let leaving = Report {
            eligible: false,
            ..report(true)
        };
        let (code, body) = leaving.answer(Probe::Healthz);
        assert_eq!(code, 503);
        let expected = "\"nodeEligible\":false,\"healthy\":true,";
        assert!(body.contains(expected), "{body}");
        assert!(
            body.starts_with("{\"lastUpdated\":\"2026-05-01T10:00:00.25Z\""),
            "{body}"
        );
        assert_eq!(leaving.answer(Probe::Livez).0, 200);
    }

    #[test]
    fn a_health_check_node_port_speaks_of_its_service() {
        let service = NamespacedName::new("ns1", "svc1");
        assert_eq!(
            health_check_body(&service, 1, true),
            "{\n\t\"service\": {\n\t\t\"namespace\": \"ns1\",\n\t\t\"name\": \"svc1\"\n\t},\n\
             \t\"localEndpoints\": 1,\n\t\"serviceProxyHealthy\": true\n}"
        );
        assert_eq!(health_check_response(1, true), 200);
        assert_eq!(health_check_response(0, true), 503);
        assert_eq!(health_check_response(3, false), 503);
    }
}
