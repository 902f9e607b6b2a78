//! Which Service, endpoint or pod a name of the zone means.

use hickory_proto::rr::Name;

/// Most labels that a name can have on the left of the zone and mean something.
///
/// Five, and as many as a topology zone's name may have.
const MOST: usize = 12;

/// The labels of a name on the left of a zone, from the right.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rest<'n> {
    labels: [&'n [u8]; MOST],
    /// How many there are; more than [`MOST`] if that is too many.
    count: usize,
}

/// What a name under the cluster domain means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning<'n> {
    /// The domain itself.
    Apex,
    /// `svc` or `pod`.
    Category,
    /// `dns-version`.
    Version,
    /// `ns.dns`, the name of this server; and `dns` above it.
    Nameserver,
    /// See there.
    AboveNameserver,
    /// `NAMESPACE.svc` or `NAMESPACE.pod`.
    Namespace(&'n [u8]),
    /// `POD.NAMESPACE.pod`.
    Pod { pod: &'n [u8], namespace: &'n [u8] },
    /// A Service, or something below it.
    Service {
        service: &'n [u8],
        namespace: &'n [u8],
        below: Below<'n>,
    },
    /// Nothing.
    Nothing,
}

/// What is on the left of a Service's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Below<'n> {
    /// Nothing: the Service itself.
    Itself,
    /// One label: an endpoint, or a protocol on the way to a port.
    Endpoint(&'n [u8]),
    /// Two labels: a port.
    Port { port: &'n [u8], protocol: &'n [u8] },
}

/// What is left of a name on the left of a domain; `None` if it is not under it. Labels of the
/// domain are lower case and come from the right.
pub(super) fn rest<'n>(name: &'n Name, domain: &[Box<[u8]>]) -> Option<Rest<'n>> {
    let mut labels = name.iter().rev();
    for wanted in domain {
        if !labels.next()?.eq_ignore_ascii_case(wanted) {
            return None;
        }
    }
    let mut rest = Rest {
        labels: [&[]; MOST],
        count: 0,
    };
    for label in labels {
        if let Some(place) = rest.labels.get_mut(rest.count) {
            *place = label;
        }
        rest.count += 1;
    }
    Some(rest)
}

impl<'n> Rest<'n> {
    /// The labels, from the right; `None` if there are too many.
    pub(super) fn labels(&self) -> Option<&[&'n [u8]]> {
        self.labels.get(..self.count)
    }

    /// What they mean.
    pub(super) fn meaning(&self) -> Meaning<'n> {
        let Some(labels) = self.labels() else {
            return Meaning::Nothing;
        };
        let is = |label: &[u8], text: &str| label.eq_ignore_ascii_case(text.as_bytes());
        match *labels {
            [] => Meaning::Apex,
            [category] if is(category, "svc") || is(category, "pod") => Meaning::Category,
            [version] if is(version, "dns-version") => Meaning::Version,
            [dns] if is(dns, "dns") => Meaning::AboveNameserver,
            [dns, ns] if is(dns, "dns") && is(ns, "ns") => Meaning::Nameserver,
            [category, namespace] if is(category, "svc") || is(category, "pod") => {
                Meaning::Namespace(namespace)
            }
            [category, namespace, pod] if is(category, "pod") => Meaning::Pod { pod, namespace },
            [category, namespace, service, ref below @ ..] if is(category, "svc") => {
                Meaning::Service {
                    service,
                    namespace,
                    below: match *below {
                        [] => Below::Itself,
                        [label] => Below::Endpoint(label),
                        [protocol, port] => Below::Port { port, protocol },
                        _ => return Meaning::Nothing,
                    },
                }
            }
            _ => Meaning::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meaning_of(text: &str) -> String {
        let name = Name::from_ascii(text).unwrap();
        let domain = [b"tests"[..].into(), b"webs"[..].into(), b"inter"[..].into()];
        match rest(&name, &domain) {
            None => "elsewhere".to_owned(),
            Some(rest) => match rest.meaning() {
                Meaning::Service {
                    service,
                    namespace,
                    below,
                } => {
                    let text = |label: &[u8]| String::from_utf8_lossy(label).into_owned();
                    let below = match below {
                        Below::Itself => String::new(),
                        Below::Endpoint(label) => format!(" endpoint {}", text(label)),
                        Below::Port { port, protocol } => {
                            format!(" port {} {}", text(port), text(protocol))
                        }
                    };
                    format!("{}/{}{below}", text(namespace), text(service))
                }
                Meaning::Apex => "apex".to_owned(),
                Meaning::Category => "category".to_owned(),
                Meaning::Namespace(_) => "namespace".to_owned(),
                Meaning::Pod { .. } => "pod".to_owned(),
                Meaning::Nothing => "nothing".to_owned(),
                other => format!("{other:?}"),
            },
        }
    }

    #[test]
    fn names_mean_what_the_schema_says() {
        let table = [
            ("inter.webs.tests.", "apex"),
            ("svc.inter.webs.tests.", "category"),
            ("POD.inter.WEBS.tests.", "category"),
            ("mynamespace.svc.inter.webs.tests.", "namespace"),
            ("webs.mynamespace.svc.inter.webs.tests.", "mynamespace/webs"),
            (
                "1-2-3-4.webs.mynamespace.svc.inter.webs.tests.",
                "mynamespace/webs endpoint 1-2-3-4",
            ),
            (
                "_http._tcp.webs.mynamespace.svc.inter.webs.tests.",
                "mynamespace/webs port _http _tcp",
            ),
            ("1-2-3-4.mynamespace.pod.inter.webs.tests.", "pod"),
            ("webs.mynamespace.pood.inter.webs.tests.", "nothing"),
            ("a.b.c.d.e.f.g.h.pod.inter.webs.tests.", "nothing"),
            (
                "x._http._tcp.webs.mynamespace.svc.inter.webs.tests.",
                "nothing",
            ),
            (
                "x.mynamespace2.mynamespace.pod.inter.webs.tests.",
                "nothing",
            ),
            ("example.com.", "elsewhere"),
            ("winter.webs.tests.", "elsewhere"),
            ("webs.tests.", "elsewhere"),
        ];
        for (name, expected) in table {
            assert_eq!(meaning_of(name), expected, "{name}");
        }
    }
}
