//! Awaiting changes on an asynchronous runtime.

use std::time::Duration;

use tokio::time::timeout;

use super::*;

/// Runs a test on a runtime of one thread, in a namespace of its own.
fn on_runtime<F: Future<Output = ()>>(test: impl FnOnce() -> F + Send) {
    in_new_netns(|| {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
            .block_on(test());
    });
}

async fn next(listener: &mut NftListener) -> Heard {
    timeout(Duration::from_secs(20), listener.heard())
        .await
        .expect("something is heard")
        .unwrap()
}

async fn is_silent(listener: &mut NftListener) -> bool {
    timeout(Duration::from_millis(50), listener.heard())
        .await
        .is_err()
}

#[test]
fn each_change_wakes_the_listener_once() {
    on_runtime(|| async {
        nft(TABLE);
        let mut listener = NftListener::new(open()).unwrap();
        for _ in 0..5 {
            assert!(is_silent(&mut listener).await);
            let rule = std::thread::spawn(|| nft("add rule ip portolan services drop"));
            let Heard::Transaction(heard) = next(&mut listener).await else {
                panic!("overrun");
            };
            assert_eq!(heard.damage.len(), 1);
            rule.join().unwrap();
        }
        nft("add table ip portolan2");
        assert!(is_silent(&mut listener).await);
        nft("flush chain ip portolan services");
        nft("delete table ip portolan");
        for _ in 0..2 {
            next(&mut listener).await;
        }
        assert!(is_silent(&mut listener).await);
    });
}

#[test]
fn an_overrun_wakes_the_listener() {
    on_runtime(|| async {
        nft(TABLE);
        let monitor = NftMonitor::open_with_room(interest(), 1).unwrap();
        let mut listener = NftListener::new(monitor).unwrap();
        assert!(is_silent(&mut listener).await);
        for _ in 0..50 {
            nft("add rule ip portolan services drop");
        }
        assert_eq!(next(&mut listener).await, Heard::Overrun);
        assert!(is_silent(&mut listener).await);
        nft("delete table ip portolan");
        next(&mut listener).await;
    });
}

#[test]
fn a_change_during_a_pause_wakes_the_listener_at_its_end() {
    on_runtime(|| async {
        nft(TABLE);
        let mut reader = socket();
        let mut listener = NftListener::new(open()).unwrap();
        let before = generation(&mut reader).unwrap();
        listener.pause().unwrap();
        nft("delete table ip portolan");
        assert!(is_silent(&mut listener).await);
        listener.resume(before, &mut reader).unwrap();
        assert_eq!(next(&mut listener).await, Heard::Overrun);
        assert!(is_silent(&mut listener).await);
    });
}

#[test]
fn without_a_runtime_there_is_an_error_and_no_crash() {
    in_new_netns(|| {
        let error = NftListener::new(open()).unwrap_err();
        assert!(error.to_string().contains("watching"), "{error}");
    });
}
