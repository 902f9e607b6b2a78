//! `run --config FILE …` as the command line that says the same without the file.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command, CommandFactory};
use serde_json::Value;

use super::line::level;
use crate::cli::Cli;
use crate::config::kube_proxy::{Document, FLAGS_BESIDE_A_FILE, field_of_flag};

/// What there is to know of a configuration file besides the flags that it was turned into.
#[derive(Clone, Debug)]
pub(crate) struct File {
    pub(in crate::cli) path: PathBuf,
    /// Its content, to notice that it changed.
    pub(in crate::cli) text: String,
    /// What it sets, as a nested object.
    pub(in crate::cli) object: Value,
    /// What is wrong with it, each with its field.
    pub(in crate::cli) mistakes: Vec<String>,
    /// What it sets and is not needed, and flags that it overrules.
    pub(in crate::cli) notes: Vec<String>,
    mode: String,
}

impl File {
    /// Words a mistake that was found in a flag as one of the file, if the flag came from there.
    pub(in crate::cli) fn word(&self, mistake: &str) -> String {
        let flag = mistake.split(':').next().unwrap_or_default();
        let path = self.path.display();
        match field_of_flag(flag, &self.mode) {
            Some(field) => format!(
                "{path}: {field}{}",
                mistake.strip_prefix(flag).unwrap_or_default()
            ),
            None => mistake.to_owned(),
        }
    }
}

/// The command line that a file and the flags beside it come to. `given` are those flags.
pub(super) fn expanded(path: &Path, given: &ArgMatches, verbose: u8) -> (Vec<OsString>, File) {
    let (text, unread) = match fs::read_to_string(path) {
        Ok(text) => (text, None),
        Err(error) => (String::new(), Some(format!("cannot be read: {error}"))),
    };
    let (document, mistakes) = match &unread {
        None => Document::parse(&text),
        Some(_) => (Document::default(), Vec::new()),
    };
    let (args, mut file) = expanded_document(path, given, verbose, &document);
    let mistakes = mistakes.iter().map(ToString::to_string).chain(unread);
    let mistakes = mistakes.map(|mistake| format!("{}: {mistake}", path.display()));
    file.mistakes.splice(0..0, mistakes);
    file.text = text;
    (args, file)
}

fn expanded_document(
    path: &Path,
    given: &ArgMatches,
    verbose: u8,
    document: &Document,
) -> (Vec<OsString>, File) {
    let mut command = Cli::command();
    command.build();
    let run = command.find_subcommand("run").cloned().unwrap_or_default();
    let mut file = File {
        path: path.to_owned(),
        text: String::new(),
        object: document.as_object(),
        mistakes: Vec::new(),
        notes: document
            .not_needed()
            .iter()
            .map(|note| format!("{}: {note}", path.display()))
            .collect(),
        mode: String::new(),
    };
    let mut args: Vec<OsString> = vec!["portolan".into(), "run".into()];
    args.extend(std::iter::repeat_n("-v".into(), verbose.into()));
    let kept = kept_flags(&run, given, &mut file);
    args.extend(kept.iter().flat_map(|(_, words)| words.clone()));
    let is_kept = |flag: &str| kept.iter().any(|(long, _)| format!("--{long}") == flag);
    for flag in document.flags() {
        let (name, value) = match flag.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (flag.as_str(), None),
        };
        match (name, value) {
            ("--v", Some(number)) if verbose == 0 => {
                let level = level(number.parse().unwrap_or_default());
                args.extend(std::iter::repeat_n("-v".into(), level));
            }
            ("--v", _) => {}
            ("--mode", Some(mode)) => {
                file.mode = mode.to_owned();
                take(&run, name, value, &mut args, &mut file);
            }
            // Manifests are a source of their own.
            ("--kubeconfig", _) if is_kept("--filename") => {}
            _ if is_kept(name) => {}
            _ => take(&run, name, value, &mut args, &mut file),
        }
    }
    // What a kube-proxy left on the node is what this one is to replace.
    if !is_kept("--take-over") {
        args.push("--take-over".into());
    }
    (args, file)
}

/// Adds a flag of the file if the verb has it and it takes such a value.
fn take(run: &Command, name: &str, value: Option<&str>, args: &mut Vec<OsString>, file: &mut File) {
    let long = name.trim_start_matches('-');
    let Some(arg) = run.get_arguments().find(|arg| answers_to(arg, long)) else {
        return;
    };
    let possible = arg.get_possible_values();
    let known = |value| {
        possible
            .iter()
            .any(|possible| possible.matches(value, false))
    };
    if let Some(value) = value.filter(|value| !possible.is_empty() && !known(value)) {
        let names: Vec<_> = possible
            .iter()
            .map(clap::builder::PossibleValue::get_name)
            .collect();
        let field = field_of_flag(name, &file.mode).unwrap_or(name);
        file.mistakes.push(format!(
            "{}: {field}: is \"{value}\", but should be one of {}",
            file.path.display(),
            names.join(", ")
        ));
        return;
    }
    args.push(match value {
        Some(value) => format!("{name}={value}").into(),
        None => name.into(),
    });
}

fn answers_to(arg: &Arg, long: &str) -> bool {
    let aliases = arg.get_all_aliases().unwrap_or_default();
    arg.get_long() == Some(long) || aliases.contains(&long)
}

/// The flags that were given and count beside the file, each with its words. Of those that do not,
/// a note is made.
fn kept_flags(run: &Command, given: &ArgMatches, file: &mut File) -> Vec<(String, Vec<OsString>)> {
    let mut kept = Vec::new();
    for arg in run.get_arguments() {
        let id = arg.get_id().as_str();
        let Some(long) = arg.get_long() else { continue };
        let from = given.value_source(id);
        if from != Some(ValueSource::CommandLine) || id == "verbose" {
            continue;
        }
        let flag = format!("--{long}");
        let is_kube_proxys = field_of_flag(&flag, "iptables").is_some() || arg.is_hide_set();
        if is_kube_proxys && !FLAGS_BESIDE_A_FILE.contains(&&*flag) {
            let path = file.path.display();
            file.notes
                .push(format!("{flag}: ignored, as {path} is in its place"));
            continue;
        }
        let words = if matches!(arg.get_action(), ArgAction::SetTrue) {
            vec![flag.into()]
        } else {
            let values = given.get_raw(id).into_iter().flatten();
            let word = |value: &std::ffi::OsStr| {
                let mut word = OsString::from(format!("{flag}="));
                word.push(value);
                word
            };
            values.map(word).collect()
        };
        kept.push((long.to_owned(), words));
    }
    kept
}
