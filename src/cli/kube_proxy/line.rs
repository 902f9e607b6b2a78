//! Go's spelling of flags into clap's: `--flag=true`, `-v 2`, `--v=2`.

use std::ffi::OsString;

use clap::{ArgAction, Command};

/// How many `-v` are as much as kube-proxy's `-v N`: up to 2 is what it says in production, 4 is
/// for debugging, 6 and more shows requests.
pub(super) fn level(verbosity: u32) -> usize {
    match verbosity {
        0..=2 => 0,
        3..=5 => 1,
        _ => 2,
    }
}

/// The same command line as clap wants it. Verbs that kube-proxy does not have are left alone.
pub(super) fn normalised(args: Vec<OsString>, command: &Command) -> Vec<OsString> {
    let Some(run) = command.find_subcommand("run") else {
        return args;
    };
    if args.get(1).is_none_or(|verb| verb != "run") {
        return args;
    }
    let mut normalised = Vec::with_capacity(args.len());
    let mut rest = args.into_iter().peekable();
    while let Some(arg) = rest.next() {
        let Some(text) = arg.to_str() else {
            normalised.push(arg);
            continue;
        };
        let next = rest.peek().and_then(|next| next.to_str());
        if let Some(number) = verbosity(text) {
            normalised.extend(std::iter::repeat_n("-v".into(), level(number)));
        } else if let ("-v" | "--v", Some(Ok(number))) = (text, next.map(str::parse)) {
            rest.next();
            normalised.extend(std::iter::repeat_n("-v".into(), level(number)));
        } else {
            match switch(text, run) {
                Some((flag, true)) => normalised.push(flag.into()),
                Some((_, false)) => {}
                None => normalised.push(arg),
            }
        }
    }
    normalised
}

/// `-v=2`, `--v=2`, `-v2`.
fn verbosity(arg: &str) -> Option<u32> {
    let number = arg.strip_prefix("--v=").or_else(|| {
        let rest = arg.strip_prefix("-v")?;
        Some(rest.strip_prefix('=').unwrap_or(rest))
    });
    number?.parse().ok()
}

/// `--flag=true` for a flag that takes no value here: the flag, and whether it is on (as
/// strconv.ParseBool reads it).
fn switch<'a>(arg: &'a str, run: &Command) -> Option<(&'a str, bool)> {
    let (flag, value) = arg.split_once('=')?;
    let name = flag.strip_prefix("--")?;
    let on = match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => true,
        "0" | "f" | "F" | "false" | "FALSE" | "False" => false,
        _ => return None,
    };
    let is_switch = run.get_arguments().any(|known| {
        let names = known.get_long().into_iter();
        let names = names.chain(known.get_all_aliases().into_iter().flatten());
        matches!(known.get_action(), ArgAction::SetTrue) && names.clone().any(|n| n == name)
    });
    is_switch.then_some((flag, on))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::cli::Cli;

    fn line(text: &str) -> String {
        let args = text.split(' ').map(OsString::from).collect();
        let args = normalised(args, &Cli::command());
        let args: Vec<_> = args.iter().map(|arg| arg.to_str().unwrap()).collect();
        args.join(" ")
    }

    #[test]
    fn gos_spelling_of_switches_and_levels_is_understood() {
        for (go, clap) in [
            (
                "p run --masquerade-all=true -f x",
                "p run --masquerade-all -f x",
            ),
            ("p run --masquerade-all=false -f x", "p run -f x"),
            ("p run --cleanup=1", "p run --cleanup"),
            ("p run -v 2 -f x", "p run -f x"),
            ("p run --v=4", "p run -v"),
            ("p run -v=10", "p run -v -v"),
            ("p run --v 9", "p run -v -v"),
            ("p run -v -f x", "p run -v -f x"),
            ("p run -vv", "p run -vv"),
            (
                "p run --iptables-localhost-nodeports=false",
                "p run --iptables-localhost-nodeports=false",
            ),
            ("p apply -v --x=true", "p apply -v --x=true"),
        ] {
            assert_eq!(line(go), clap, "{go}");
        }
    }
}
