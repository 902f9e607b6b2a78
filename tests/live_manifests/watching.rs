//! From what happens to files to what the source is told, with the kernel between.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::time::Duration;

use portolan::source::watch::{Settle, WatchList, Watcher};
use tokio::time::timeout;

use crate::support::{Live, replace, service};

/// A live source that is told by a watcher.
struct Watched {
    live: Live,
    watcher: Watcher,
}

impl Watched {
    async fn new(files: &[(&str, &str)], arguments: &[&str], recursive: bool) -> Self {
        Self::of(Live::of(files, arguments, recursive)).await
    }

    async fn of(live: Live) -> Self {
        let mut watched = Self {
            watcher: Watcher::new(Settle::default()),
            live,
        };
        watched.watcher.follow(watched.live.source.watch_list());
        // What begins to be watched may have changed before.
        watched.hear().await;
        watched
    }

    /// Takes what the watcher says until it says no more.
    async fn hear(&mut self) -> usize {
        let mut bursts = 0;
        while let Ok(changes) = timeout(Duration::from_millis(300), self.watcher.next()).await {
            bursts += 1;
            drop(self.live.tell(&changes));
            self.watcher.follow(self.live.source.watch_list());
        }
        bursts
    }

    async fn expect(&mut self, services: &[&str]) {
        self.hear().await;
        assert_eq!(self.live.services(), services);
    }
}

#[tokio::test]
async fn written_replaced_new_and_removed_files_are_seen() {
    let mut watched = Watched::new(&[("in/a.yaml", &service("a"))], &["in"], false).await;
    watched.live.write("in/a.yaml", &service("b"));
    watched.expect(&["b"]).await;
    replace(&watched.live.path("in/a.yaml"), &service("c"));
    watched.expect(&["c"]).await;
    watched.live.write("in/d.yaml", &service("d"));
    watched.expect(&["c", "d"]).await;
    fs::remove_file(watched.live.path("in/a.yaml")).unwrap();
    watched.expect(&["d"]).await;
}

#[tokio::test]
async fn a_burst_is_one_change() {
    let mut watched = Watched::new(&[("in/a.yaml", &service("a"))], &["in"], false).await;
    for number in 0..50 {
        let name = format!("s{number:02}");
        watched
            .live
            .write(&format!("in/{name}.yaml"), &service(&name));
    }
    assert_eq!(watched.hear().await, 1);
    assert_eq!(watched.live.services().len(), 51);
}

#[tokio::test]
async fn a_single_file_is_followed_through_renames_and_removals_of_its_directory() {
    let mut watched =
        Watched::new(&[("in/x/a.yaml", &service("a"))], &["in/x/a.yaml"], false).await;
    replace(&watched.live.path("in/x/a.yaml"), &service("b"));
    watched.expect(&["b"]).await;
    replace(&watched.live.path("in/x/a.yaml"), &service("c"));
    watched.expect(&["c"]).await;
    fs::remove_dir_all(watched.live.path("in")).unwrap();
    watched.expect(&["c"]).await;
    assert!(watched.live.source.failing().is_some());
    watched.live.write("in/x/a.yaml", &service("d"));
    watched.expect(&["d"]).await;
    watched.live.write("in/x/a.yaml", &service("e"));
    watched.expect(&["e"]).await;
}

#[tokio::test]
async fn links_are_followed_wherever_they_are_turned() {
    let files = [
        ("v1/a.yaml", &*service("a")),
        ("v2/a.yaml", &service("b")),
        ("in/c.yaml", &service("c")),
    ];
    let live = Live::prepared(&files, &["current/a.yaml", "in"], false, |home| {
        symlink("v1", home.join("current")).unwrap();
    });
    let mut watched = Watched::of(live).await;
    watched.live.write("v1/a.yaml", &service("d"));
    watched.expect(&["c", "d"]).await;
    symlink("v2", watched.live.path("next")).unwrap();
    fs::rename(watched.live.path("next"), watched.live.path("current")).unwrap();
    watched.expect(&["b", "c"]).await;
    watched.live.write("v2/a.yaml", &service("e"));
    watched.expect(&["c", "e"]).await;
    watched.live.write("elsewhere/f.yaml", &service("f"));
    symlink("../elsewhere/f.yaml", watched.live.path("in/link.yaml")).unwrap();
    watched.expect(&["c", "e", "f"]).await;
    watched.live.write("elsewhere/f.yaml", &service("g"));
    watched.expect(&["c", "e", "g"]).await;
}

#[tokio::test]
async fn new_directories_below_are_watched_too() {
    let mut watched = Watched::new(&[("in/a.yaml", &service("a"))], &["in"], true).await;
    watched.live.write("in/x/y/b.yaml", &service("b"));
    watched.expect(&["a", "b"]).await;
    watched.live.write("in/x/y/b.yaml", &service("c"));
    watched.expect(&["a", "c"]).await;
    fs::remove_dir_all(watched.live.path("in/x")).unwrap();
    watched.expect(&["a"]).await;
    watched.live.write("in/x/y/b.yaml", &service("d"));
    watched.expect(&["a", "d"]).await;
}

#[tokio::test]
async fn half_a_file_is_not_read_while_it_is_being_written() {
    use std::io::Write;
    let mut watched = Watched::new(&[("in/a.yaml", &service("a"))], &["in"], false).await;
    let text = service("b");
    let (one, other) = text.split_at(text.len() - 10);
    let path = watched.live.path("in/a.yaml");
    let mut file = fs::File::create(&path).unwrap();
    file.write_all(one.as_bytes()).unwrap();
    let early = timeout(Duration::from_millis(100), watched.watcher.next()).await;
    assert!(early.is_err(), "waits: {early:?}");
    file.write_all(other.as_bytes()).unwrap();
    drop(file);
    watched.expect(&["b"]).await;
}

#[tokio::test]
async fn what_is_asked_for_is_told_at_once() {
    let mut watched = Watched::new(&[("in/a.yaml", &service("a"))], &["in"], false).await;
    watched.watcher.rescan();
    let changes = timeout(Duration::from_millis(10), watched.watcher.next()).await;
    assert!(changes.unwrap().everything);
}

#[tokio::test]
async fn nothing_is_told_of_neighbours() {
    let mut watched = Watched::new(&[("in/a.yaml", &service("a"))], &["in/a.yaml"], false).await;
    watched.live.write("in/neighbour.yaml", "text");
    watched.live.write("elsewhere/a.yaml", "text");
    assert_eq!(watched.hear().await, 0);
}

#[tokio::test]
async fn events_that_are_lost_make_everything_be_read() {
    let limit = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
    let limit: usize = limit.trim().parse().unwrap();
    if limit > 100_000 {
        return;
    }
    let mut watched = Watched::new(&[("in/a.yaml", &service("a"))], &["in"], false).await;
    let path = watched.live.path("in/x.txt");
    for _ in 0..limit {
        fs::write(&path, "").unwrap();
        fs::remove_file(&path).unwrap();
    }
    watched.live.write("in/b.yaml", &service("b"));
    let changes = watched.watcher.next().await;
    assert!(changes.everything);
    drop(watched.live.tell(&changes));
    watched.expect(&["a", "b"]).await;
}

#[tokio::test]
async fn an_input_that_does_not_exist_yet_can_be_waited_for() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("a/b/c.yaml");
    let input = portolan::source::manifest::ManifestInput {
        paths: vec![path.to_str().unwrap().to_owned()],
        ..Default::default()
    };
    let mut watcher = Watcher::new(Settle::default());
    watcher.follow(&WatchList::of_input(&input));
    watcher.next().await;
    fs::create_dir(home.path().join("a")).unwrap();
    let changes = timeout(Duration::from_secs(1), watcher.next())
        .await
        .unwrap();
    let seen: Vec<PathBuf> = changes.paths.into_iter().collect();
    assert_eq!(seen, [home.path().join("a")]);
}
