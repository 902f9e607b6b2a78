//! `portolan lab curl`.

use std::io::{self, Write};

use super::status::Format;
use super::{Exit, Failure, Name, failure, report};
use crate::lab::spread::{Request, Spread};

/// Columns of the longest bar.
const BAR: u32 = 40;

/// Arguments of `lab curl`.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    #[command(flatten)]
    name: Name,

    /// From where: n1, client, balancer, a pod, deploy/NAME
    from: String,

    /// To where, such as http://192.168.10.100:30080
    url: String,

    /// How many connections
    #[arg(short = 'n', long = "count", value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    count: u32,

    /// Seconds that one connection may take
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    max_time: u32,

    /// Output format [default: bars]
    #[arg(short, long, value_enum)]
    output: Option<Format>,
}

/// Exit code 1 if any connection failed.
pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    let request = Request {
        from: args.from.clone(),
        url: args.url.clone(),
        count: args.count,
        seconds: args.max_time,
    };
    let lab = args.name.open()?;
    let spread = lab.curl(&request).map_err(failure)?;
    let mut out = io::stdout().lock();
    match args.output {
        Some(Format::Json) => {
            serde_json::to_writer_pretty(&mut out, &spread)?;
            writeln!(out)?;
        }
        None => print(&request, &spread, &mut out)?,
    }
    Ok(if spread.failed == 0 {
        Exit::Done
    } else {
        Exit::Failed
    })
}

fn print(request: &Request, spread: &Spread, out: &mut dyn Write) -> io::Result<()> {
    let connections = match request.count {
        1 => "1 connection".to_owned(),
        more => format!("{more} connections"),
    };
    writeln!(
        out,
        "{connections} from {} to {}",
        request.from, request.url
    )?;
    let failed = (spread.failed > 0).then(|| ("failed".to_owned(), spread.failed));
    let rows: Vec<(String, u32)> = spread.answers.clone().into_iter().chain(failed).collect();
    let most = rows.iter().map(|(_, count)| *count).max().unwrap_or(1);
    let width = rows.iter().map(|(who, _)| who.chars().count()).max();
    let width = width.unwrap_or_default();
    let digits = most.to_string().len();
    for (who, count) in &rows {
        let length = (count * BAR.min(most)).div_ceil(most);
        let bar = report::bar(length);
        writeln!(out, "  {who:width$}  {count:>digits$} {bar}")?;
    }
    for error in &spread.errors {
        writeln!(out, "  {error}")?;
    }
    if !spread.last.is_empty() {
        writeln!(out, "  the last answer: {}", spread.last)?;
    }
    Ok(())
}
