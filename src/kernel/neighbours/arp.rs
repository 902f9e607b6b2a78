//! ARP for IPv4 on Ethernet (RFC 826), and how an address is told to be here (RFC 5227, section 3).

use std::net::{IpAddr, Ipv4Addr};

use super::{Mac, Question};

/// `ETH_P_ARP`.
pub(super) const ETHERTYPE: u16 = 0x0806;
const REQUEST: u16 = 1;
const REPLY: u16 = 2;
const BROADCAST: Mac = [0xff; 6];
/// Ethernet, IPv4, and the lengths of their addresses.
const KINDS: [u8; 6] = [0, 1, 8, 0, 6, 4];
/// Bytes of a frame with its Ethernet header.
const LENGTH: usize = 42;

/// The question in a frame, if there is one.
pub(super) fn question(frame: &[u8]) -> Option<Question> {
    let frame: &[u8; LENGTH] = frame.first_chunk()?;
    let expected = [&ETHERTYPE.to_be_bytes()[..], &KINDS, &REQUEST.to_be_bytes()].concat();
    if frame[12..22] != expected {
        return None;
    }
    let address = |at: usize| {
        let bytes: [u8; 4] = frame.get(at..at + 4)?.try_into().ok()?;
        Some(Ipv4Addr::from(bytes))
    };
    let (asker, wanted) = (address(28)?, address(38)?);
    // Somebody who says that the address is theirs asks nothing.
    (asker != wanted).then_some(Question {
        wanted: wanted.into(),
        mac: frame[22..28].try_into().ok()?,
        asker: asker.into(),
    })
}

/// The answer: it is here.
pub(super) fn reply(question: &Question, own: Mac) -> Option<Vec<u8>> {
    let (IpAddr::V4(wanted), IpAddr::V4(asker)) = (question.wanted, question.asker) else {
        return None;
    };
    Some(frame(
        REPLY,
        (own, wanted),
        (question.mac, asker),
        question.mac,
    ))
}

/// What makes every neighbour that knows the address take the new place: a request and a reply,
/// because some listen to one of them only.
pub(super) fn gratuitous(address: Ipv4Addr, own: Mac) -> [Vec<u8>; 2] {
    [
        frame(REQUEST, (own, address), ([0; 6], address), BROADCAST),
        frame(REPLY, (own, address), (BROADCAST, address), BROADCAST),
    ]
}

fn frame(operation: u16, sender: (Mac, Ipv4Addr), target: (Mac, Ipv4Addr), to: Mac) -> Vec<u8> {
    let mut frame = Vec::with_capacity(LENGTH);
    frame.extend(to);
    frame.extend(sender.0);
    frame.extend(ETHERTYPE.to_be_bytes());
    frame.extend(KINDS);
    frame.extend(operation.to_be_bytes());
    for (mac, address) in [sender, target] {
        frame.extend(mac);
        frame.extend(address.octets());
    }
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASKER: Mac = [2, 0, 0, 0, 0, 1];
    const OWN: Mac = [2, 0, 0, 0, 0, 9];

    #[test]
    fn a_request_is_a_question_and_nothing_else_is() {
        let (asker, wanted) = (Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(192, 0, 2, 9));
        let request = frame(REQUEST, (ASKER, asker), ([0; 6], wanted), BROADCAST);
        let question = question(&request).unwrap();
        assert_eq!((question.wanted, question.mac), (wanted.into(), ASKER));
        let reply = reply(&question, OWN).unwrap();
        assert_eq!(reply.len(), LENGTH);
        assert_eq!(reply[..12], [ASKER, OWN].concat());
        assert_eq!(reply[20..22], [0, 2]);
        assert_eq!(reply[28..32], wanted.octets());
        assert_eq!(super::question(&reply), None);
        for frame in gratuitous(wanted, OWN) {
            assert_eq!(super::question(&frame), None);
        }
        for end in 0..LENGTH {
            assert_eq!(super::question(&request[..end]), None);
        }
    }
}
