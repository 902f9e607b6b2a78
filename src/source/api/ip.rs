//! Addresses and CIDRs as the API accepts them: Go's old, sloppy parsers, which allow leading
//! zeros and host bits, and the warnings that go with what is not canonical.
//!
//! Owns parsing. Must not know fields other than by the path it is given.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::{Findings, Path};

/// Parses an address as Kubernetes' `ParseIPSloppy`: leading zeros in IPv4 octets are decimal, an
/// IPv4-mapped IPv6 address is the IPv4 address.
#[must_use]
pub fn parse_ip(text: &str) -> Option<IpAddr> {
    if text.contains(':') {
        let ip: Ipv6Addr = text.parse().ok()?;
        return Some(ip.to_ipv4_mapped().map_or(IpAddr::V6(ip), IpAddr::V4));
    }
    match text.parse::<Ipv4Addr>() {
        Ok(ip) => Some(IpAddr::V4(ip)),
        Err(_) => parse_padded_ipv4(text).map(IpAddr::V4),
    }
}

fn parse_padded_ipv4(text: &str) -> Option<Ipv4Addr> {
    let mut octets = [0; 4];
    let mut parts = text.split('.');
    for octet in &mut octets {
        let part = parts.next()?;
        let digits = part.trim_start_matches('0');
        *octet = match (part.is_empty(), digits.is_empty()) {
            (true, _) => return None,
            (false, true) => 0,
            // Rust's integers allow a sign, addresses do not.
            _ if digits.starts_with('+') => return None,
            _ => digits.parse().ok()?,
        };
    }
    parts.next().is_none().then(|| Ipv4Addr::from(octets))
}

/// Parses a CIDR as Kubernetes' `ParseCIDRSloppy`: the address as written and the network it is in.
#[must_use]
pub fn parse_cidr(text: &str) -> Option<(IpAddr, IpNet)> {
    let (address, length) = text.split_once('/')?;
    if length.is_empty() || length.len() > 4 || !length.bytes().all(|c| c.is_ascii_digit()) {
        return None;
    }
    let length: u8 = length.parse().ok()?;
    let ip = parse_ip(address)?;
    // An IPv4-mapped address brings a prefix length that counts the 96 mapping bits.
    let length = match ip {
        IpAddr::V4(_) if address.contains(':') => length.checked_sub(96)?,
        _ => length,
    };
    let net = IpNet::new(ip, length).ok()?;
    Some((ip, net.trunc()))
}

/// Checks an address field; forms that Kubernetes tolerates but will not for ever are warned
/// about, or refused if strict.
pub fn check_ip(findings: &mut Findings, field: &Path<'_>, text: &str) -> Option<IpAddr> {
    let Some(ip) = parse_ip(text) else {
        findings.invalid(
            field,
            text,
            "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
        );
        return None;
    };
    note_sloppy_ip(findings, field, text, ip);
    Some(ip)
}

/// The warnings (or, if strict, errors) about the way an address is written.
pub fn note_sloppy_ip(findings: &mut Findings, field: &Path<'_>, text: &str, ip: IpAddr) {
    let mapped = text.contains(':') && ip.is_ipv4();
    let padded = ip.is_ipv4() && text.parse::<IpAddr>().is_err();
    if (mapped || padded) && findings.strict {
        findings.invalid(field, text, sloppy_reason(mapped));
    } else if mapped || padded {
        findings.warn(format!(
            "{field}: non-standard IP address {text:?} will be considered invalid in a future \
             Kubernetes release: use \"{ip}\""
        ));
    } else if ip.is_ipv6() && ip.to_string() != text {
        findings.warn(format!(
            "{field}: IPv6 address {text:?} should be in RFC 5952 canonical format (\"{ip}\")"
        ));
    }
}

fn sloppy_reason(mapped: bool) -> &'static str {
    if mapped {
        "must not be an IPv4-mapped IPv6 address"
    } else {
        "must not have leading 0s"
    }
}

/// Checks a CIDR field, with the same warnings as [`check_ip`] and one about host bits.
pub fn check_cidr(findings: &mut Findings, field: &Path<'_>, text: &str) -> Option<IpNet> {
    let Some((ip, net)) = parse_cidr(text) else {
        findings.invalid(
            field,
            text,
            "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)",
        );
        return None;
    };
    note_sloppy_cidr(findings, field, text, ip, net);
    Some(net)
}

/// The warnings (or, if strict, errors) about the way a CIDR is written.
fn note_sloppy_cidr(findings: &mut Findings, field: &Path<'_>, text: &str, ip: IpAddr, net: IpNet) {
    let mapped = text.contains(':') && ip.is_ipv4();
    let (address, length) = text.split_once('/').unwrap_or((text, ""));
    let padded =
        (length.len() > 1 && length.starts_with('0')) || address.parse::<IpAddr>().is_err();
    let host_bits = ip != net.addr();
    if findings.strict {
        let detail = match (padded, mapped, host_bits) {
            (true, _, _) => "must not have leading 0s in IP or prefix length",
            (_, true, _) => "must not have an IPv4-mapped IPv6 address",
            (_, _, true) => "must not have bits set beyond the prefix length",
            _ => "",
        };
        if !detail.is_empty() {
            findings.invalid(field, text, detail);
            return;
        }
    }
    if host_bits {
        let single = IpNet::from(ip);
        findings.warn(format!(
            "{field}: CIDR value {text:?} is ambiguous in this context (should be \"{net}\" or \
             \"{single}\"?)"
        ));
    }
    if mapped || padded {
        findings.warn(format!(
            "{field}: non-standard CIDR value {text:?} will be considered invalid in a future \
             Kubernetes release: use \"{net}\""
        ));
    } else if !host_bits && ip.is_ipv6() && net.to_string() != text {
        findings.warn(format!(
            "{field}: IPv6 CIDR value {text:?} should be in RFC 5952 canonical format (\"{net}\")"
        ));
    }
}

/// Refuses addresses that can be neither endpoint nor external IP.
pub fn check_not_special(findings: &mut Findings, field: &Path<'_>, text: &str, ip: IpAddr) {
    let (link_local, link_local_multicast) = match ip {
        IpAddr::V4(v4) => (v4.is_link_local(), v4.octets()[..3] == [224, 0, 0]),
        // A multicast address is link-local by the low half of its second octet (RFC 4291, 2.7).
        IpAddr::V6(v6) => {
            let octets = v6.octets();
            (
                v6.is_unicast_link_local(),
                octets[0] == 0xff && octets[1] & 0x0f == 2,
            )
        }
    };
    if ip.is_unspecified() {
        findings.invalid(field, text, format!("may not be unspecified ({text})"));
    }
    if ip.is_loopback() {
        let detail = "may not be in the loopback range (127.0.0.0/8, ::1/128)";
        findings.invalid(field, text, detail);
    }
    if link_local {
        let detail = "may not be in the link-local range (169.254.0.0/16, fe80::/10)";
        findings.invalid(field, text, detail);
    }
    if link_local_multicast {
        let detail = "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)";
        findings.invalid(field, text, detail);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leading_zeros_are_decimal() {
        assert_eq!(parse_ip("172.30.0.041"), parse_ip("172.30.0.41"));
        assert_eq!(parse_ip("010.000.0.1"), parse_ip("10.0.0.1"));
        assert_eq!(parse_ip("::ffff:10.0.0.1"), parse_ip("10.0.0.1"));
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "",
            "10.0.0",
            "10.0.0.0.1",
            "10.0.0.256",
            "10.0.0.+1",
            "10.0.0.0x1",
            "10.0..1",
            "fe80::1%eth0",
            ":",
            "None",
            " 10.0.0.1",
            "1.2.3.4/24",
        ] {
            assert_eq!(parse_ip(text), None, "{text}");
        }
        for text in [
            "10.0.0.0",
            "10.0.0.0/33",
            "10.0.0.0/",
            "10.0.0.0/-1",
            "::/129",
            "x/8",
        ] {
            assert_eq!(parse_cidr(text), None, "{text}");
        }
    }

    #[test]
    fn cidrs_are_normalised_to_the_network() {
        let net = |text| parse_cidr(text).map(|(_, net)| net.to_string());
        assert_eq!(net("10.0.1.7/24").as_deref(), Some("10.0.1.0/24"));
        assert_eq!(net("010.0.1.0/024").as_deref(), Some("10.0.1.0/24"));
        assert_eq!(net("FD00::1/64").as_deref(), Some("fd00::/64"));
        assert_eq!(net("::ffff:10.1.0.0/112").as_deref(), Some("10.1.0.0/16"));
    }

    #[test]
    fn sloppy_forms_warn_and_are_refused_if_strict() {
        let field = Path::new("spec");
        let mut findings = Findings::new(false);
        check_ip(&mut findings, &field, "010.0.0.1");
        check_cidr(&mut findings, &field, "10.0.0.1/8");
        check_ip(&mut findings, &field, "FD00::1");
        assert_eq!((findings.errors.len(), findings.warnings.len()), (0, 3));
        let mut findings = Findings::new(true);
        check_ip(&mut findings, &field, "010.0.0.1");
        check_cidr(&mut findings, &field, "10.0.0.1/8");
        assert_eq!((findings.errors.len(), findings.warnings.len()), (2, 0));
    }
}
