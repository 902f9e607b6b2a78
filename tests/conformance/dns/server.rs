//! A server in a network namespace, and questions to it.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use hickory_proto::op::{Edns, Message, Query, ResponseCode};
use hickory_proto::rr::{Name, Record, RecordType};
use tempfile::TempDir;

use crate::support::netns::Namespace;
use crate::support::program::PROGRAM;

const PATIENCE: Duration = Duration::from_secs(5);

/// `portolan dns` at 127.0.0.1 and ::1 of a namespace of its own.
pub(crate) struct Server {
    pub(crate) namespace: Namespace,
    pub(crate) directory: TempDir,
    child: Child,
}

impl Server {
    /// With these manifests, and nobody upstream.
    pub(crate) fn new(manifests: &str) -> Self {
        Self::with(manifests, &["--no-forward"])
    }

    pub(crate) fn with(manifests: &str, flags: &[&str]) -> Self {
        let namespace = Namespace::new();
        namespace.ip(&[
            "link set lo up".to_owned(),
            // Without an address beside the loopback's, glibc asks for none.
            "address add 10.233.65.9/32 dev lo".to_owned(),
        ]);
        Self::within(namespace, manifests, &["127.0.0.1", "::1"], flags)
    }

    pub(crate) fn within(
        namespace: Namespace,
        manifests: &str,
        listen: &[&str],
        flags: &[&str],
    ) -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("manifests")).unwrap();
        fs::write(directory.path().join("manifests/a.yaml"), manifests).unwrap();
        let mut command = Command::new(PROGRAM);
        command
            .args(["dns", "--metrics-bind-address", "127.0.0.1:9153", "-f"])
            .arg(directory.path().join("manifests"))
            .arg("--state-dir")
            .arg(directory.path().join("state"))
            .args(["--service-cidr", "10.0.0.0/24,1234:abcd::/112"])
            .args(listen.iter().flat_map(|address| ["--listen", address]))
            .args(flags)
            .stdout(Stdio::null())
            .stderr(fs::File::create(directory.path().join("log")).unwrap());
        let child = namespace.enter(|| command.spawn()).unwrap();
        let mut server = Self {
            namespace,
            directory,
            child,
        };
        server.wait(listen[0]);
        server
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap()
    }

    /// Until the first snapshot is complete.
    fn wait(&mut self, listen: &str) {
        let start = Instant::now();
        let server = SocketAddr::new(listen.parse().unwrap(), 53);
        loop {
            assert!(start.elapsed() < PATIENCE, "{}", self.log());
            assert!(self.child.try_wait().unwrap().is_none(), "{}", self.log());
            let question = question("cluster.local.", RecordType::SOA, Some(1232));
            let reply = self
                .ask_bytes(
                    server,
                    &question.to_vec().unwrap(),
                    Duration::from_millis(200),
                )
                .map(|bytes| Message::from_vec(&bytes).unwrap().metadata);
            // Truncated is what is over a rate, whether or not there is an answer.
            if reply.is_some_and(|reply| {
                reply.response_code == ResponseCode::NoError && !reply.truncation
            }) {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Changes or adds a manifest.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let path: PathBuf = self.directory.path().join("manifests").join(name);
        let new = self.directory.path().join("new");
        fs::write(&new, text).unwrap();
        fs::rename(new, path).unwrap();
    }

    pub(crate) fn ask_bytes(
        &self,
        server: SocketAddr,
        question: &[u8],
        patience: Duration,
    ) -> Option<Vec<u8>> {
        self.namespace.enter(|| {
            let any = if server.is_ipv6() {
                "[::]:0"
            } else {
                "0.0.0.0:0"
            };
            let socket = UdpSocket::bind(any).unwrap();
            socket.connect(server).unwrap();
            socket.set_read_timeout(Some(patience)).unwrap();
            socket.send(question).unwrap();
            let mut buffer = vec![0; 65535];
            let length = socket.recv(&mut buffer).ok()?;
            buffer.truncate(length);
            Some(buffer)
        })
    }

    /// The answer over UDP.
    #[track_caller]
    pub(crate) fn ask_message(&self, question: &Message) -> Message {
        let bytes = question.to_vec().unwrap();
        let server = "127.0.0.1:53".parse().unwrap();
        let answer = self.ask_bytes(server, &bytes, PATIENCE);
        let answer = Message::from_vec(&answer.expect("an answer")).unwrap();
        assert_eq!(answer.metadata.id, question.metadata.id);
        assert_cnames_come_first(&answer.answers);
        answer
    }

    /// The answers over TCP to questions that are sent together.
    pub(crate) fn ask_tcp(&self, questions: &[Message]) -> Vec<Message> {
        self.namespace.enter(|| {
            let mut stream = TcpStream::connect("127.0.0.1:53").unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            for question in questions {
                let bytes = question.to_vec().unwrap();
                let length = u16::try_from(bytes.len()).unwrap().to_be_bytes();
                stream.write_all(&[&length[..], &bytes].concat()).unwrap();
            }
            questions
                .iter()
                .map(|_| read_message(&mut stream))
                .collect()
        })
    }

    /// The answer as one line; names below the cluster domain are without it.
    #[track_caller]
    pub(crate) fn ask(&self, name: &str, kind: &str) -> String {
        let name = absolute(name);
        let answer = self.ask_message(&question(&name, kind.parse().unwrap(), Some(1232)));
        line(&answer)
    }

    /// Asks each, and compares.
    #[track_caller]
    pub(crate) fn holds(&self, cases: &[(&str, &str, &str)]) {
        let wrong: Vec<String> = cases
            .iter()
            .filter_map(|(name, kind, expected)| {
                let got = self.ask(name, kind);
                (got != *expected)
                    .then(|| format!("{name} {kind}\n  expected {expected}\n  got      {got}"))
            })
            .collect();
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn metrics(&self) -> String {
        let url = "http://127.0.0.1:9153/metrics";
        self.namespace.run("curl", &["--silent", "--fail", url])
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn read_message(stream: &mut TcpStream) -> Message {
    let mut length = [0; 2];
    stream.read_exact(&mut length).expect("a length");
    let mut bytes = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut bytes).expect("a message");
    Message::from_vec(&bytes).unwrap()
}

fn absolute(name: &str) -> String {
    if name.ends_with('.') {
        name.to_owned()
    } else {
        format!("{name}.cluster.local.")
    }
}

pub(crate) fn question(name: &str, kind: RecordType, size: Option<u16>) -> Message {
    let mut message = Message::query();
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
    if let Some(size) = size {
        let mut edns = Edns::new();
        edns.set_max_payload(size).set_version(0);
        message.set_edns(edns);
    }
    message
}

/// `NOERROR svc1.testns.svc A 10.0.0.11 | … + additional`; `NXDOMAIN soa cluster.local.`
pub(crate) fn line(answer: &Message) -> String {
    let mut text = match answer.metadata.response_code {
        ResponseCode::NoError => "NOERROR".to_owned(),
        ResponseCode::NXDomain => "NXDOMAIN".to_owned(),
        ResponseCode::ServFail => "SERVFAIL".to_owned(),
        ResponseCode::Refused => "REFUSED".to_owned(),
        other => format!("{other:?}"),
    };
    if !answer.answers.is_empty() {
        text += &format!(" {}", records(&answer.answers));
    }
    for record in &answer.authorities {
        text += &format!(
            " {} {}",
            record.record_type().to_string().to_lowercase(),
            record.name
        );
    }
    if !answer.additionals.is_empty() {
        text += &format!(" + {}", records(&answer.additionals));
    }
    text
}

fn records(records: &[Record]) -> String {
    let mut lines: Vec<String> = records
        .iter()
        .map(|record| {
            let text = format!("{} {} {}", record.name, record.record_type(), record.data);
            text.replace(".cluster.local.", "")
        })
        .collect();
    // Rotation is tested by itself.
    lines.sort();
    lines.join(" | ")
}

fn assert_cnames_come_first(answers: &[Record]) {
    let mut others = answers
        .iter()
        .skip_while(|record| record.record_type() == RecordType::CNAME);
    assert!(others.all(|record| record.record_type() != RecordType::CNAME));
}
