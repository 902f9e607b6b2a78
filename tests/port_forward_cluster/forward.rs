//! A running `portolan port-forward`, and clients of it.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::process::{Child, ChildStdout, Command, Stdio};

use tempfile::NamedTempFile;

use crate::cluster::Cluster;
use crate::support::program::{PROGRAM, patience};

/// It ends with the test.
pub(crate) struct Forward {
    child: Child,
    lines: BufReader<ChildStdout>,
    log: NamedTempFile,
    /// The local ports, in the order in which they were asked for.
    pub(crate) ports: Vec<u16>,
}

impl Drop for Forward {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Forward {
    /// Starts it for any ports of 127.0.0.1.
    #[track_caller]
    pub(crate) fn start(cluster: &Cluster, args: &[&str]) -> Self {
        let log = NamedTempFile::new().unwrap();
        let mut command = Command::new(PROGRAM);
        command.args(["port-forward", "--master", &cluster.server.url()]);
        command.args(["--address", "127.0.0.1"]).args(args);
        command.stdout(Stdio::piped());
        command.stderr(File::create(log.path()).unwrap());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        let mut forward = Self {
            child,
            lines,
            log,
            ports: Vec::new(),
        };
        let count = args.iter().filter(|arg| arg.starts_with(':')).count();
        for _ in 0..count {
            let line = forward.line();
            let rest = line.strip_prefix("Forwarding from 127.0.0.1:");
            let rest = rest.unwrap_or_else(|| panic!("\"{line}\": {}", forward.log()));
            let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
            forward.ports.push(digits.parse().unwrap());
        }
        forward
    }

    /// The next line of its output.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// What it has warned about.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.log.path()).unwrap()
    }

    /// A connection to a port.
    #[track_caller]
    pub(crate) fn connect(&self, index: usize) -> TcpStream {
        let address = (Ipv4Addr::LOCALHOST, self.ports[index]);
        let connection = TcpStream::connect(address).unwrap();
        connection.set_read_timeout(Some(patience())).unwrap();
        connection.set_write_timeout(Some(patience())).unwrap();
        connection
    }

    /// The name of the pod that echoes a line; `None` where there is no answer.
    pub(crate) fn try_ask(&self, index: usize) -> Option<String> {
        let mut talk = Talk::new(self.connect(index));
        let answer = talk.say("hello")?;
        answer.strip_suffix(" hello").map(str::to_owned)
    }

    #[track_caller]
    pub(crate) fn ask(&self, index: usize) -> String {
        let answer = self.try_ask(index);
        answer.unwrap_or_else(|| panic!("no answer: {}", self.log()))
    }

    /// Who answers so many connections, each name once.
    #[track_caller]
    pub(crate) fn askers(&self, index: usize, count: usize) -> Vec<String> {
        let mut names: Vec<String> = (0..count).map(|_| self.ask(index)).collect();
        names.sort();
        names.dedup();
        names
    }
}

/// A connection to a pod that echoes lines.
pub(crate) struct Talk {
    reader: BufReader<TcpStream>,
}

impl Talk {
    pub(crate) fn new(connection: TcpStream) -> Self {
        let reader = BufReader::new(connection);
        Self { reader }
    }

    /// Says a line and gives what comes back.
    pub(crate) fn say(&mut self, line: &str) -> Option<String> {
        writeln!(self.reader.get_mut(), "{line}").ok()?;
        let mut answer = String::new();
        let length = self.reader.read_line(&mut answer).ok()?;
        (length > 0).then(|| answer.trim_end().to_owned())
    }

    /// What is left until the end.
    pub(crate) fn rest(mut self) -> std::io::Result<Vec<u8>> {
        let mut rest = Vec::new();
        self.reader.read_to_end(&mut rest)?;
        Ok(rest)
    }
}
