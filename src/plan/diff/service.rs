//! Which service a rule belongs to, from its comment.

use ipnet::IpNet;

/// The service a comment of kube-proxy's names: its first word of the form `namespace/name` or
/// `namespace/name:port`.
pub(super) fn service_of(comment: &str) -> Option<&str> {
    comment
        .split_whitespace()
        .find(|word| is_service_port_name(word))
}

/// Names are DNS labels (RFC 1123), so that addresses with a prefix length are the only likely
/// thing that looks the same.
fn is_service_port_name(word: &str) -> bool {
    let label = |text: &str| {
        !text.is_empty()
            && text
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.')
    };
    let Some((namespace, name)) = word.split_once('/') else {
        return false;
    };
    let (name, port) = name.split_once(':').unwrap_or((name, "0"));
    label(namespace) && label(name) && label(port) && word.parse::<IpNet>().is_err()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_comment_of_kube_proxy_names_its_service() {
        for (comment, service) in [
            ("ns1/svc1:p80 cluster IP", Some("ns1/svc1:p80")),
            ("ns1/svc1 -> 10.0.0.1:80", Some("ns1/svc1")),
            (
                "masquerade traffic for ns1/svc1:p80 external destinations",
                Some("ns1/svc1:p80"),
            ),
            (
                "other traffic to a/b will be dropped by KUBE-PROXY-FIREWALL",
                Some("a/b"),
            ),
            ("kubernetes service portals", None),
            ("from 10.0.0.0/8", None),
            ("and/or but not A/B", Some("and/or")),
        ] {
            assert_eq!(service_of(comment), service, "{comment}");
        }
    }
}
