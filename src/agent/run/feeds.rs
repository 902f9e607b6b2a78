//! What the loop waits for beside the kernel: files, signals, the Kubernetes API.
//!
//! Runs on the runtime's threads and sends to the loop. Must not read manifests.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::Instant;

use tokio::runtime::Handle;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};

use crate::config::kube_proxy::Document;
use crate::source::changes::Changes;
use crate::source::kubernetes::Batch;
use crate::source::manifest::ManifestInput;
use crate::source::watch::{Settle, WatchList, Watcher};

/// Why the loop is told to stop when its configuration file has another content.
pub(super) const RECONFIGURED: &str = "its configuration changed";

/// Something for the loop to act on.
#[derive(Debug)]
pub(super) enum Event {
    /// Files changed.
    Files {
        /// Which.
        changes: Changes,
        /// When the watcher said so.
        seen: Instant,
    },
    /// The watches of the Kubernetes API brought something.
    Cluster(Batch),
    /// SIGHUP.
    Reread,
    /// SIGTERM or SIGINT, by name.
    Stop(&'static str),
}

/// The loop's end of the feeds.
pub(super) struct Feeds {
    pub(super) events: mpsc::UnboundedReceiver<Event>,
    sender: mpsc::UnboundedSender<Event>,
    watch_list: watch::Sender<WatchList>,
}

impl Feeds {
    /// Starts following the signals, and the files of the list.
    pub(super) fn start(runtime: &Handle, list: WatchList) -> io::Result<Self> {
        let _context = runtime.enter();
        let (sender, events) = mpsc::unbounded_channel();
        let signals = Signals::new()?;
        runtime.spawn(signals.follow(sender.clone()));
        let mut watcher = Watcher::new(Settle::default());
        watcher.follow(&list);
        let (watch_list, lists) = watch::channel(list);
        runtime.spawn(follow_files(watcher, lists, sender.clone()));
        Ok(Self {
            events,
            watch_list,
            sender,
        })
    }

    /// Stops the loop when kube-proxy's configuration file has another content, that can be used.
    pub(super) fn follow_configuration(&self, runtime: &Handle, path: PathBuf, text: String) {
        let _context = runtime.enter();
        runtime.spawn(follow_configuration(path, text, self.sender.clone()));
    }

    /// For others who have something for the loop.
    pub(super) fn sender(&self) -> mpsc::UnboundedSender<Event> {
        self.sender.clone()
    }

    /// Follows what is in the list from now on.
    pub(super) fn follow(&self, list: &WatchList) {
        self.watch_list.send_if_modified(|present| {
            let news = !present.is(list);
            if news {
                present.clone_from(list);
            }
            news
        });
    }
}

async fn follow_files(
    mut watcher: Watcher,
    mut lists: watch::Receiver<WatchList>,
    events: mpsc::UnboundedSender<Event>,
) {
    loop {
        for note in watcher.notes() {
            tracing::warn!("{note}");
        }
        tokio::select! {
            changed = lists.changed() => {
                if changed.is_err() {
                    return;
                }
                watcher.follow(&lists.borrow_and_update());
            }
            changes = watcher.next() => {
                let seen = Instant::now();
                if events.send(Event::Files { changes, seen }).is_err() {
                    return;
                }
            }
        }
    }
}

/// A file is replaced in many ways; a volume of a ConfigMap is a link to a link. What counts is
/// its content, and that nobody would be started again only to fail.
async fn follow_configuration(
    path: PathBuf,
    mut present: String,
    events: mpsc::UnboundedSender<Event>,
) {
    let list = || {
        WatchList::of_input(&ManifestInput {
            paths: vec![path.to_string_lossy().into_owned()],
            recursive: false,
            strict: false,
        })
    };
    let mut watcher = Watcher::new(Settle::default());
    loop {
        watcher.follow(&list());
        // It may have changed before it was watched, and be away for a moment.
        let text = fs::read_to_string(&path).unwrap_or_else(|_| present.clone());
        if text != present {
            let (_, mistakes) = Document::parse(&text);
            for mistake in &mistakes {
                tracing::warn!("{}: {mistake}", path.display());
            }
            if mistakes.is_empty() {
                let _ = events.send(Event::Stop(RECONFIGURED));
                return;
            }
            tracing::warn!("the configuration before stays in force");
            present = text;
        }
        watcher.next().await;
    }
}

struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn follow(mut self, events: mpsc::UnboundedSender<Event>) {
        loop {
            let event = tokio::select! {
                _ = self.hangup.recv() => Event::Reread,
                _ = self.terminate.recv() => Event::Stop("SIGTERM"),
                _ = self.interrupt.recv() => Event::Stop("SIGINT"),
            };
            if events.send(event).is_err() {
                return;
            }
        }
    }
}
