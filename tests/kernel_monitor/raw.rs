//! Messages that the installed `nft` cannot send yet.

use socket2::{Domain, Protocol, Socket as RawSocket, Type};

use super::*;

/// `NFNL_SUBSYS_NFTABLES` in the upper byte of a message type.
const NFTABLES: u16 = 10 << 8;

fn message(kind: u16, family: u8, resource: u16, attrs: &[u8]) -> Vec<u8> {
    let len = u32::try_from(20 + attrs.len()).unwrap();
    let mut bytes = len.to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(1u16.to_ne_bytes());
    bytes.extend([1, 0, 0, 0, 0, 0, 0, 0, family, 0]);
    bytes.extend(resource.to_be_bytes());
    bytes.extend(attrs);
    bytes
}

fn text(kind: u16, value: &str) -> Vec<u8> {
    let len = u16::try_from(5 + value.len()).unwrap();
    let mut bytes = len.to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value.as_bytes());
    bytes.push(0);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn send_batch(kind: u16, attrs: &[u8]) {
    let socket = RawSocket::new(
        Domain::from(libc::AF_NETLINK),
        Type::RAW,
        Some(Protocol::from(libc::NETLINK_NETFILTER)),
    )
    .unwrap();
    let batch = [
        message(0x10, 0, 10, &[]),
        message(NFTABLES | kind, 2, 0, attrs),
        message(0x11, 0, 10, &[]),
    ];
    socket.send(&batch.concat()).unwrap();
}

#[test]
fn deletions_that_do_not_mind_a_missing_object_are_heard() {
    in_new_netns(|| {
        nft(TABLE);
        // The kernel names the thread: what programs see in /proc/PID/comm.
        std::fs::write("/proc/thread-self/comm", "raw").unwrap();
        let mut monitor = open();
        let before = generation(&mut socket()).unwrap();
        let chain = [text(1, "portolan"), text(2, "services")].concat();
        // NFT_MSG_DESTROYRULE without a handle: all rules of the chain.
        send_batch(28, &chain);
        if generation(&mut socket()).unwrap() == before {
            skipped("this kernel has no NFT_MSG_DESTROYRULE (Linux 6.3)");
            return;
        }
        assert_eq!(
            words(&mut monitor),
            ["2 rules deleted from chain services of table ip portolan by raw"]
        );
        let set = [text(1, "portolan"), text(2, "frontends")].concat();
        send_batch(30, &set);
        // NFT_MSG_DESTROYCHAIN, NFT_MSG_DESTROYSET, NFT_MSG_DESTROYTABLE.
        send_batch(27, &[text(1, "portolan"), text(3, "services")].concat());
        send_batch(29, &set);
        send_batch(26, &text(1, "portolan"));
        let heard = words(&mut monitor);
        let expected = [
            "3 elements deleted from set frontends of table ip portolan",
            "chain services of table ip portolan deleted",
            "set frontends of table ip portolan deleted",
            "table ip portolan deleted",
        ];
        assert_eq!(heard, expected.map(|text| format!("{text} by raw")));
    });
}
