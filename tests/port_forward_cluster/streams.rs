//! Bytes: that all arrive, in both directions, and that one direction ends before the other.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;

use sha2::{Digest, Sha256};

use crate::cluster::Cluster;
use crate::forward::Forward;

/// Some megabytes that repeat nowhere soon.
fn megabytes(count: usize, seed: u32) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    (0..count << 20).map(|_| next()).collect()
}

fn digest(bytes: &[u8]) -> Vec<u8> {
    Sha256::digest(bytes).to_vec()
}

/// Serves one connection in a pod.
fn serve(cluster: &Cluster, port: u16, work: impl FnOnce(TcpStream) + Send + 'static) {
    let listener = cluster.pods[0]
        .enter(|| TcpListener::bind(("127.0.0.1", port)))
        .unwrap();
    thread::spawn(move || work(listener.accept().unwrap().0));
}

#[test]
fn a_client_that_has_ended_its_side_gets_the_whole_answer() {
    let cluster = Cluster::with_pods(1);
    let answer = megabytes(6, 7);
    let expected = digest(&answer);
    // Answers when the client has ended, and only then.
    serve(&cluster, 7000, move |mut connection| {
        let mut asked = Vec::new();
        connection.read_to_end(&mut asked).unwrap();
        connection.write_all(&digest(&asked)).unwrap();
        connection.write_all(&answer).unwrap();
    });
    let forward = Forward::start(&cluster, &["pod/pod-1", ":7000"]);
    let mut connection = forward.connect(0);
    let question = megabytes(6, 11);
    connection.write_all(&question).unwrap();
    connection.shutdown(Shutdown::Write).unwrap();
    let mut answered = Vec::new();
    connection.read_to_end(&mut answered).unwrap();
    let (of_question, answer) = answered.split_at(32);
    assert_eq!(of_question, digest(&question));
    assert_eq!(answer.len(), 6 << 20, "{}", forward.log());
    assert_eq!(digest(answer), expected);
    assert_eq!(forward.log(), "");
}

#[test]
fn both_directions_are_full_at_once_and_nothing_is_lost() {
    let cluster = Cluster::with_pods(1);
    serve(&cluster, 7000, |mut connection| {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(count @ 1..) = connection.read(&mut buffer) {
            connection.write_all(&buffer[..count]).unwrap();
        }
    });
    let forward = Forward::start(&cluster, &["pod/pod-1", ":7000"]);
    let mut connection = forward.connect(0);
    let mut writer = connection.try_clone().unwrap();
    let sent = megabytes(16, 3);
    let expected = digest(&sent);
    let writing = thread::spawn(move || {
        writer.write_all(&sent).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    let mut echoed = Vec::new();
    connection.read_to_end(&mut echoed).unwrap();
    writing.join().unwrap();
    assert_eq!(echoed.len(), 16 << 20);
    assert_eq!(digest(&echoed), expected);
}

#[test]
fn a_pod_that_ends_first_still_hears_the_client() {
    let cluster = Cluster::with_pods(1);
    let (told, heard) = std::sync::mpsc::channel();
    serve(&cluster, 7000, move |mut connection| {
        connection.write_all(b"goodbye").unwrap();
        connection.shutdown(Shutdown::Write).unwrap();
        let mut rest = Vec::new();
        connection.read_to_end(&mut rest).unwrap();
        told.send(rest).unwrap();
    });
    let forward = Forward::start(&cluster, &["pod/pod-1", ":7000"]);
    let mut connection = forward.connect(0);
    let mut said = String::new();
    connection.read_to_string(&mut said).unwrap();
    assert_eq!(said, "goodbye");
    connection.write_all(b"see you").unwrap();
    drop(connection);
    let patience = crate::support::program::patience();
    assert_eq!(heard.recv_timeout(patience).unwrap(), b"see you");
}
