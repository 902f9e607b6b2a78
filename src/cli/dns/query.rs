//! `portolan dns query NAME [TYPE]`: a question as dig asks it, and where the answer comes from.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, anyhow};
use hickory_proto::op::{Edns, Message, Query};
use hickory_proto::rr::rdata::opt::{EdnsCode, EdnsOption};
use hickory_proto::rr::{Name, Record, RecordType};

use super::flags::{PORT, ZoneFlags};
use crate::agent::cluster::{Cluster, StateAccess};
use crate::cli::args::{self, NetnsArgs};
use crate::cli::{Exit, Failure};
use crate::config::ProxyFlags;
use crate::dns::forward::ResolvConf;
use crate::dns::server::EXPLAIN;
use crate::dns::zone::{Ask, Code, Zone};
use crate::kernel::netns;
use crate::source::manifest::ManifestInput;

/// How long an answer may take: as long as a resolver waits.
const PATIENCE: Duration = Duration::from_secs(5);

/// Arguments of `dns query`.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// The name, absolute; a name without a dot is a Service of the namespace default, one with one
    /// dot SERVICE.NAMESPACE
    name: String,

    /// The type, such as A, AAAA, SRV, PTR
    #[arg(name = "TYPE", default_value = "A", value_parser = kind)]
    kind: RecordType,

    /// The server to ask [default: the first of /etc/resolv.conf]
    #[arg(short, long, value_name = "IP[:PORT]", conflicts_with = "filename")]
    server: Option<String>,

    /// Answer from these manifests, without a server
    #[arg(short, long, value_name = "PATH", num_args = 1..)]
    filename: Vec<String>,

    /// Directory that allocated cluster IPs are kept in
    #[arg(long, value_name = "DIR", default_value = args::DEFAULT_STATE_DIR)]
    state_dir: std::path::PathBuf,

    /// Print the data of answers alone
    #[arg(long)]
    short: bool,

    #[command(flatten)]
    zone: ZoneFlags,

    #[command(flatten)]
    netns: NetnsArgs,

    #[command(flatten)]
    rules: ProxyFlags,
}

/// An answer from wherever, each record with where it comes from.
struct Shown {
    from: String,
    status: String,
    flags: Vec<&'static str>,
    sections: [(&'static str, Vec<(Record, String)>); 3],
}

pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    let name = name(args)?;
    let shown = if args.filename.is_empty() {
        ask_server(args, &name)?
    } else {
        ask_manifests(args, &name)?
    };
    print(args, &name, &shown, &mut io::stdout().lock())?;
    let answered = shown.sections[0].1.is_empty();
    Ok(if answered { Exit::Failed } else { Exit::Done })
}

fn kind(text: &str) -> Result<RecordType, String> {
    RecordType::from_str(&text.to_uppercase()).map_err(|_| "not a type of DNS records".to_owned())
}

/// Names of Services may be as short as people write them.
fn name(args: &Args) -> Result<Name, Failure> {
    let (text, domain) = (&args.name, args.zone.cluster_domain.trim_end_matches('.'));
    if args.kind == RecordType::PTR
        && let Ok(address) = text.parse::<std::net::IpAddr>()
    {
        return Ok(Name::from(address));
    }
    let full = match text.matches('.').count() {
        0 => format!("{text}.default.svc.{domain}."),
        1 if !text.ends_with('.') => format!("{text}.svc.{domain}."),
        _ => text.clone(),
    };
    let mut name = Name::from_ascii(&full)
        .map_err(|error| Failure::bad_input(anyhow!("\"{text}\" is not a name: {error}")))?;
    name.set_fqdn(true);
    Ok(name)
}

fn ask_manifests(args: &Args, name: &Name) -> Result<Shown, Failure> {
    let config = args::proxy_config(&args.rules)?;
    let input = ManifestInput {
        paths: args.filename.clone(),
        ..ManifestInput::default()
    };
    let cluster = Cluster::load(&input, &config, &args.state_dir, StateAccess::ReadOnly)
        .map_err(args::load_failure)?;
    let zone = Zone::new(args.zone.options()?, &cluster.snapshot, 0);
    let ask = Ask {
        name,
        kind: args.kind,
        rotation: 0,
        most: usize::MAX,
    };
    let Some(answer) = zone.answer(ask) else {
        return Err(anyhow!("{name} is no name of {}", zone.options().domain).into());
    };
    let explained = |records: Vec<Record>| {
        let records = records.into_iter();
        let explained = records.map(|record| {
            let origin = zone.origin(&record);
            (
                record,
                origin.map_or_else(String::new, |origin| origin.to_string()),
            )
        });
        explained.collect()
    };
    Ok(Shown {
        from: "the manifests".to_owned(),
        status: match answer.code {
            Code::NoError => "NOERROR".to_owned(),
            Code::NxDomain => "NXDOMAIN".to_owned(),
        },
        flags: vec!["aa"],
        sections: [
            ("ANSWER", explained(answer.answers)),
            ("AUTHORITY", explained(answer.authorities)),
            ("ADDITIONAL", explained(answer.additionals)),
        ],
    })
}

fn ask_server(args: &Args, name: &Name) -> Result<Shown, Failure> {
    let server = server(args)?;
    let bytes = question(name, args.kind)?.to_vec()?;
    let answer = netns::run_in(&args.netns.netns(), || exchange(server, &bytes))?
        .with_context(|| format!("cannot ask {server}"))?;
    let answer = Message::from_vec(&answer)
        .with_context(|| format!("cannot read the answer of {server}"))?;
    Ok(shown(server, answer))
}

fn server(args: &Args) -> Result<SocketAddr, Failure> {
    let Some(text) = &args.server else {
        let conf = ResolvConf::read(Path::new("/etc/resolv.conf"))?;
        return conf
            .servers
            .first()
            .copied()
            .ok_or_else(|| anyhow!("--server: /etc/resolv.conf names none").into());
    };
    let ip = || text.parse().map(|ip| SocketAddr::new(ip, PORT));
    let parsed = text.parse().or_else(|_| ip());
    parsed.map_err(|_| Failure::bad_input(anyhow!("--server: \"{text}\" is not an IP address")))
}

fn question(name: &Name, kind: RecordType) -> Result<Message, Failure> {
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(name.clone(), kind));
    let mut edns = Edns::new();
    edns.set_max_payload(4096).set_version(0);
    edns.options_mut()
        .insert(EdnsOption::Unknown(EXPLAIN, Vec::new()));
    message.set_edns(edns);
    Ok(message)
}

/// Over TCP: where records come from takes more room than the records.
fn exchange(server: SocketAddr, question: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&server, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let length = u16::try_from(question.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes()[..], question].concat())?;
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut answer)?;
    Ok(answer)
}

fn shown(server: SocketAddr, answer: Message) -> Shown {
    let text =
        answer
            .edns
            .as_ref()
            .and_then(|edns| match edns.option(EdnsCode::Unknown(EXPLAIN)) {
                Some(EdnsOption::Unknown(_, text)) => {
                    Some(String::from_utf8_lossy(text).into_owned())
                }
                _ => None,
            });
    let lines: Vec<String> = text
        .iter()
        .flat_map(|t| t.split('\n'))
        .map(str::to_owned)
        .collect();
    let mut lines = lines.into_iter();
    let mut explained = |records: Vec<Record>| {
        let records = records.into_iter();
        let records: Vec<_> = records
            .map(|record| (record, lines.next().unwrap_or_default()))
            .collect();
        records
    };
    let metadata = answer.metadata;
    let flags = [
        (metadata.authoritative, "aa"),
        (metadata.truncation, "tc"),
        (metadata.recursion_desired, "rd"),
        (metadata.recursion_available, "ra"),
    ];
    let flags = flags
        .into_iter()
        .filter_map(|(is_set, name)| is_set.then_some(name));
    Shown {
        from: server.to_string(),
        status: status(metadata.response_code),
        flags: flags.collect(),
        sections: [
            ("ANSWER", explained(answer.answers)),
            ("AUTHORITY", explained(answer.authorities)),
            ("ADDITIONAL", explained(answer.additionals)),
        ],
    }
}

/// dig's spelling.
fn status(code: hickory_proto::op::ResponseCode) -> String {
    use hickory_proto::op::ResponseCode as Code;
    match code {
        Code::NoError => "NOERROR".to_owned(),
        Code::NXDomain => "NXDOMAIN".to_owned(),
        Code::ServFail => "SERVFAIL".to_owned(),
        Code::Refused => "REFUSED".to_owned(),
        Code::FormErr => "FORMERR".to_owned(),
        Code::NotImp => "NOTIMP".to_owned(),
        other => other.to_string(),
    }
}

fn print(args: &Args, name: &Name, shown: &Shown, out: &mut dyn Write) -> io::Result<()> {
    if args.short {
        for (record, _) in &shown.sections[0].1 {
            writeln!(out, "{}", record.data)?;
        }
        return Ok(());
    }
    let flags = shown.flags.join(" ");
    writeln!(
        out,
        ";; status: {}, flags: {flags}, from {}",
        shown.status, shown.from
    )?;
    writeln!(out, ";; QUESTION\n;{name}\tIN\t{}", args.kind)?;
    for (heading, records) in &shown.sections {
        if records.is_empty() {
            continue;
        }
        writeln!(out, "\n;; {heading}")?;
        for (record, origin) in records {
            let Record {
                name, ttl, data, ..
            } = record;
            write!(out, "{name}\t{ttl}\tIN\t{}\t{data}", record.record_type())?;
            if !origin.is_empty() {
                write!(out, "\t; {origin}")?;
            }
            writeln!(out)?;
        }
    }
    Ok(())
}
