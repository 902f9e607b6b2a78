//! A table of another layout is replaced as a whole, and nobody notices.

use std::thread;
use std::time::Duration;

use crate::lifecycle::Stop;
use crate::support::{Service, Testbed};

const VIP: &str = "10.233.10.90:80";

fn web(bed: &Testbed) -> Service {
    Service::new("web", "10.233.10.90")
        .node_port(30090)
        .to(&bed.pods[..2])
}

/// Makes the table look like another version's: a rule and a chain that this one does not have.
fn disguise(bed: &Testbed) {
    bed.nft(
        "add chain ip portolan old\n\
         insert rule ip portolan nat-postrouting jump old\n\
         add chain ip6 portolan old",
    );
}

#[test]
fn no_connection_is_lost_by_a_replacement() {
    let bed = Testbed::with_pods(3);
    let services = [web(&bed)];
    bed.apply(&services);
    let node_port = bed.node.at(30090);
    let dials = [
        bed.pod(3).dial(VIP),
        bed.outside.dial(&node_port),
        bed.node.dial(VIP),
    ];
    let talks = dials.each_ref().map(crate::support::dial::Dial::converse);
    let mut talks = talks.map(|mut talk| (talk.say("before").unwrap(), talk));
    let done = Stop::default();
    let finished = || done.is_set();
    thread::scope(|scope| {
        let end = done.at_end();
        let clients = dials
            .each_ref()
            .map(|dial| scope.spawn(|| dial.until(finished)));
        for _ in 0..10 {
            disguise(&bed);
            let run = bed.apply(&services);
            assert!(
                run.stdout.contains("IPv4: table replaced"),
                "{}",
                run.stdout
            );
            assert!(run.stdout.contains("in 1 transaction:"), "{}", run.stdout);
            thread::sleep(Duration::from_millis(5)); // For connections in between.
        }
        drop(end);
        for client in clients {
            let tally = client.join().unwrap();
            tally.assert_only(&["pod-1", "pod-2"]);
            assert!(tally.answers.len() > 20, "{tally}");
        }
    });
    for (server, talk) in &mut talks {
        assert_eq!(&talk.say("after").unwrap(), server);
    }
    bed.verb("verify", &services, &[]).exits(0);
}

/// Other settings are another fixed part: the same way.
#[test]
fn changed_settings_replace_the_table() {
    let bed = Testbed::with_pods(3);
    let services = [web(&bed)];
    bed.apply(&services);
    let mut talk = bed.pod(3).dial(VIP).converse();
    let server = talk.say("before").unwrap();
    let run = bed.apply_with(&services, &["--masquerade-all"]);
    assert!(
        run.stdout.contains("IPv4: table replaced"),
        "{}",
        run.stdout
    );
    let answer = bed.pod(3).dial(VIP).answer();
    assert!(answer.is_masqueraded(), "{answer:?}");
    bed.apply(&services);
    assert!(!bed.pod(3).dial(VIP).answer().is_masqueraded());
    assert_eq!(talk.say("after").unwrap(), server);
}
