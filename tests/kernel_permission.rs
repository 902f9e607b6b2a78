//! Without privilege there is one clear sentence, whatever was tried.

#![allow(
    unsafe_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failure here is a failed test; dropping the privileges of one thread takes a raw call"
)]

mod kernel_support;

use kernel_support::*;
use portolan::kernel::nfacct;
use portolan::kernel::nft::*;
use portolan::model::IpFamily::V4;
use portolan::plan::op::Op;

/// Makes the calling thread, and only it, an unprivileged user.
fn become_nobody() {
    const NOBODY: libc::uid_t = 65_534;
    // The wrapper of the C library would change all threads.
    // SAFETY: a system call on plain numbers.
    let result = unsafe { libc::syscall(libc::SYS_setresuid, NOBODY, NOBODY, NOBODY) };
    assert_eq!(result, 0, "setresuid");
}

#[test]
fn a_commit_without_privilege_says_what_is_needed() {
    in_new_netns(|| {
        become_nobody();
        let mut socket = socket();
        let mut batch = Batch::new(None);
        batch.push(&Op::AddTable(table(V4, "nat"))).unwrap();
        let error = batch.commit(&mut socket).unwrap_err();
        assert!(matches!(error, CommitError::Permission), "{error:?}");
        assert_eq!(
            error.to_string(),
            "changing nf_tables needs root, or CAP_NET_ADMIN in the network namespace"
        );
    });
}

#[test]
fn a_batch_beyond_the_send_buffer_says_the_same() {
    in_new_netns(|| {
        become_nobody();
        let mut socket = socket();
        let rule = append(
            &chain(V4, "nat", "A"),
            vec![xt::xt_match("x", 0, vec![0; 30_000])],
        );
        let mut batch = Batch::new(None);
        for _ in 0..400 {
            batch.push(&rule).unwrap();
        }
        let error = batch.commit(&mut socket).unwrap_err();
        assert!(matches!(error, CommitError::Permission), "{error:?}");
    });
}

#[test]
fn reading_without_privilege_says_what_is_needed() {
    in_new_netns(|| {
        become_nobody();
        let mut socket = socket();
        let error = generation(&mut socket).unwrap_err();
        assert!(matches!(error, ReadError::Permission), "{error:?}");
        let error = dump_rules(&mut socket, &table(V4, "nat"), None, &mut |_| {}).unwrap_err();
        assert!(matches!(error, ReadError::Permission), "{error:?}");
        let error = nfacct::available(&mut socket).unwrap_err();
        assert!(
            matches!(error, nfacct::NfacctError::Permission),
            "{error:?}"
        );
    });
}

#[test]
fn listening_without_privilege_says_what_is_needed() {
    in_new_netns(|| {
        become_nobody();
        let error = NftMonitor::open(Interest::new()).unwrap_err();
        assert!(matches!(error, MonitorError::Permission), "{error:?}");
        assert_eq!(
            error.to_string(),
            "listening to changes of nf_tables needs root, or CAP_NET_ADMIN in the network namespace"
        );
    });
}
