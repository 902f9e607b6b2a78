//! Neighbour solicitations and advertisements (RFC 4861, sections 4.3, 4.4 and 7.2).

use std::net::{IpAddr, Ipv6Addr};

use nix::libc::sock_filter;

use super::{Mac, Question};

/// `ETH_P_IPV6`.
pub(super) const ETHERTYPE: u16 = 0x86dd;
const ICMPV6: u8 = 58;
const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;
/// A packet with fewer hops left has come through a router, and is forged.
const HOPS: u8 = 255;
/// `S`: an answer. `O`: in place of what you know.
const SOLICITED: u8 = 0x40;
const OVERRIDE: u8 = 0x20;
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// Where IPv6's payload begins in a frame.
const PAYLOAD: usize = 14 + 40;

/// A filter that keeps solicitations: IPv6 of all other kinds passes by in masses.
pub(super) fn questions_only() -> [sock_filter; 6] {
    const LOAD_BYTE: u16 = 0x30;
    const JUMP_IF_EQUAL: u16 = 0x15;
    const KEEP: u16 = 0x06;
    let step = |code, k, jf| sock_filter { code, jt: 0, jf, k };
    [
        step(LOAD_BYTE, 20, 0),
        step(JUMP_IF_EQUAL, u32::from(ICMPV6), 3),
        step(LOAD_BYTE, 54, 0),
        step(JUMP_IF_EQUAL, u32::from(SOLICITATION), 1),
        step(KEEP, u32::MAX, 0),
        step(KEEP, 0, 0),
    ]
}

/// The group that questions about an address are sent to.
pub(super) fn group(address: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = address.octets();
    let mut group = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00, 0).octets();
    group[13..].copy_from_slice(&[a, b, c]);
    group.into()
}

/// The question in a frame, if there is one.
pub(super) fn question(frame: &[u8]) -> Option<Question> {
    let header: &[u8; PAYLOAD] = frame.first_chunk()?;
    let body: &[u8; 24] = frame.get(PAYLOAD..)?.first_chunk()?;
    let is_solicitation = header[12..14] == ETHERTYPE.to_be_bytes()
        && (header[20], header[21]) == (ICMPV6, HOPS)
        && (body[0], body[1]) == (SOLICITATION, 0);
    let address = |bytes: &[u8]| <[u8; 16]>::try_from(bytes).ok().map(Ipv6Addr::from);
    let (asker, wanted) = (address(&header[22..38])?, address(&body[8..24])?);
    (is_solicitation && !wanted.is_multicast()).then_some(Question {
        wanted: wanted.into(),
        mac: header[6..12].try_into().ok()?,
        asker: asker.into(),
    })
}

/// The answer. Who asks without an address is answered by a word to all.
pub(super) fn reply(question: &Question, own: Mac) -> Option<Vec<u8>> {
    let (IpAddr::V6(wanted), IpAddr::V6(asker)) = (question.wanted, question.asker) else {
        return None;
    };
    if asker.is_unspecified() {
        return Some(unsolicited(wanted, own));
    }
    let flags = SOLICITED | OVERRIDE;
    Some(advertisement(wanted, flags, own, (question.mac, asker)))
}

/// The word to all nodes that the address is here.
pub(super) fn unsolicited(address: Ipv6Addr, own: Mac) -> Vec<u8> {
    let to = ([0x33, 0x33, 0, 0, 0, 1], ALL_NODES);
    advertisement(address, OVERRIDE, own, to)
}

fn advertisement(address: Ipv6Addr, flags: u8, own: Mac, to: (Mac, Ipv6Addr)) -> Vec<u8> {
    let mut body = vec![ADVERTISEMENT, 0, 0, 0, flags, 0, 0, 0];
    body.extend(address.octets());
    // Option 2, target link-layer address, in units of 8 bytes.
    body.extend([2, 1]);
    body.extend(own);
    let sum = checksum(address, to.1, &body).to_be_bytes();
    body[2..4].copy_from_slice(&sum);
    let length = u16::try_from(body.len()).unwrap_or(u16::MAX);
    let mut frame = Vec::with_capacity(PAYLOAD + body.len());
    frame.extend(to.0);
    frame.extend(own);
    frame.extend(ETHERTYPE.to_be_bytes());
    frame.extend([0x60, 0, 0, 0]);
    frame.extend(length.to_be_bytes());
    frame.extend([ICMPV6, HOPS]);
    frame.extend(address.octets());
    frame.extend(to.1.octets());
    frame.extend(body);
    frame
}

/// RFC 4443, section 2.3: over the pseudo-header of RFC 8200, section 8.1, and the message.
fn checksum(from: Ipv6Addr, to: Ipv6Addr, message: &[u8]) -> u16 {
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    let header = [
        &from.octets()[..],
        &to.octets(),
        &length.to_be_bytes(),
        &u32::from(ICMPV6).to_be_bytes(),
        message,
    ];
    let all = header.concat();
    let sum: u32 = all
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0)))
        .sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = (folded & 0xffff) + (folded >> 16);
    !u16::try_from(folded).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_go_to_the_group_of_the_last_three_bytes() {
        let address = "2001:db8::1:2aa:bbcc".parse().unwrap();
        assert_eq!(group(address).to_string(), "ff02::1:ffaa:bbcc");
    }

    #[test]
    fn an_advertisement_is_no_question_and_sums_to_nothing() {
        let own = [2, 0, 0, 0, 0, 9];
        let (asker, wanted): (Ipv6Addr, Ipv6Addr) =
            ("fe80::1".parse().unwrap(), "fd00::9".parse().unwrap());
        let question = Question {
            wanted: wanted.into(),
            mac: [2, 0, 0, 0, 0, 1],
            asker: asker.into(),
        };
        let frame = reply(&question, own).unwrap();
        assert_eq!(frame.len(), PAYLOAD + 32);
        assert_eq!(super::question(&frame), None);
        // With its checksum in place, a message sums to zero.
        assert_eq!(checksum(wanted, asker, &frame[PAYLOAD..]), 0);
    }

    #[test]
    fn a_solicitation_is_a_question_if_it_comes_from_this_link() {
        let asker: Ipv6Addr = "fe80::1".parse().unwrap();
        let wanted: Ipv6Addr = "fd00::9".parse().unwrap();
        let mut frame = advertisement(wanted, 0, [2, 0, 0, 0, 0, 1], ([0x33; 6], group(wanted)));
        frame[22..38].copy_from_slice(&asker.octets());
        frame[PAYLOAD] = SOLICITATION;
        let found = question(&frame).unwrap();
        assert_eq!((found.wanted, found.asker), (wanted.into(), asker.into()));
        for end in 0..PAYLOAD + 24 {
            assert_eq!(question(&frame[..end]), None);
        }
        frame[21] = 64;
        assert_eq!(question(&frame), None);
    }
}
