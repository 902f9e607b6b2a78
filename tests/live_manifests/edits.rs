//! Random edits of a directory.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use portolan::source::changes::Changes;
use proptest::prelude::*;

use crate::support::{Live, replace, service, slice};

const FILES: u8 = 5;

/// Something that a file may hold; the number tells variants of one object apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Thing {
    Service(u8),
    Slice(u8),
    Endpoints(u8),
    Pod(u8),
    Node(u8),
    Other(u8),
}

#[derive(Clone, Debug)]
enum Edit {
    /// A thing is in a file, in a variant; wherever else it was, it is not any more.
    Put(Thing, u8, u8),
    Remove(Thing),
    /// A thing is in a second file too.
    Copy(Thing, u8, u8),
    /// Text that is no manifest.
    Break(u8),
    /// A file loses copies and broken text.
    Mend(u8),
    /// Documents of a file in the other order.
    Turn(u8),
    DeleteFile(u8),
}

fn thing() -> impl Strategy<Value = Thing> {
    prop_oneof![
        (0..5u8).prop_map(Thing::Service),
        (0..5u8).prop_map(Thing::Slice),
        (0..4u8).prop_map(Thing::Endpoints),
        (0..6u8).prop_map(Thing::Pod),
        (0..3u8).prop_map(Thing::Node),
        (0..3u8).prop_map(Thing::Other),
    ]
}

fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        12 => (thing(), 0..FILES, 0..6u8).prop_map(|(t, f, v)| Edit::Put(t, f, v)),
        5 => thing().prop_map(Edit::Remove),
        1 => (thing(), 0..FILES, 0..6u8).prop_map(|(t, f, v)| Edit::Copy(t, f, v)),
        1 => (0..FILES).prop_map(Edit::Break),
        4 => (0..FILES).prop_map(Edit::Mend),
        2 => (0..FILES).prop_map(Edit::Turn),
        1 => (0..FILES).prop_map(Edit::DeleteFile),
    ]
}

/// How changed files get to disk and are told.
#[derive(Clone, Copy, Debug)]
struct Way {
    rename: bool,
    everything: bool,
    /// Also names the directory.
    directory: bool,
}

fn way() -> impl Strategy<Value = Way> {
    let weighted = prop::bool::weighted;
    (any::<bool>(), weighted(0.1), weighted(0.15)).prop_map(|(rename, everything, directory)| Way {
        rename,
        everything,
        directory,
    })
}

#[derive(Clone, Debug, Default)]
struct Contents {
    things: Vec<(Thing, u8)>,
    copies: Vec<(Thing, u8)>,
    broken: bool,
    backwards: bool,
}

impl Contents {
    fn text(&self) -> String {
        let mut documents: Vec<String> = self
            .things
            .iter()
            .chain(&self.copies)
            .map(|(thing, variant)| text(*thing, *variant))
            .collect();
        if self.backwards {
            documents.reverse();
        }
        if self.broken {
            documents.push("kind: [Service\n".to_owned());
        }
        documents.join("---\n")
    }
}

fn text(thing: Thing, variant: u8) -> String {
    match thing {
        Thing::Service(n) => {
            let spec = match variant {
                0 => "ports: [{port: 80}]".to_owned(),
                1 => "ports: [{port: 80}], selector: {app: a}".to_owned(),
                2 => "ports: [{port: 80}], selector: {app: b, tier: x}, type: NodePort".to_owned(),
                // Some want the same address.
                3 => format!("ports: [{{port: 80}}], clusterIP: 10.129.0.{}", 20 + n / 2),
                4 => {
                    "ports: [{port: 443, name: s}], clusterIP: None, selector: {app: a}".to_owned()
                }
                _ => return service(&format!("s{n}")),
            };
            format!("apiVersion: v1\nkind: Service\nmetadata: {{name: s{n}}}\nspec: {{{spec}}}\n")
        }
        Thing::Slice(n) => {
            let service = format!("s{}", (n + variant / 3) % 5);
            let addresses = ["10.1.0.1", "10.1.0.2", "10.1.0.3"];
            slice(
                &format!("e{n}"),
                &service,
                &addresses[..usize::from(variant % 3) + 1],
            )
        }
        Thing::Endpoints(n) => {
            let subsets = match variant {
                0 => "[]",
                1 | 2 => "[{addresses: [{ip: 10.2.0.1}], ports: [{port: 8080}]}]",
                _ => "[{addresses: [{ip: 10.2.0.1}, {ip: 10.2.0.2}], ports: [{port: 8080}]}]",
            };
            format!(
                "apiVersion: v1\nkind: Endpoints\nmetadata: {{name: s{n}}}\nsubsets: {subsets}\n"
            )
        }
        Thing::Pod(n) => {
            let app = if variant.is_multiple_of(2) { "a" } else { "b" };
            let ready = if variant < 4 { "True" } else { "False" };
            format!(
                "apiVersion: v1\nkind: Pod\nmetadata: {{name: p{n}, labels: {{app: {app}, tier: x}}}}\n\
                 spec: {{nodeName: n{}, containers: [{{name: c, image: i}}]}}\n\
                 status: {{podIP: 10.3.0.{n}, conditions: [{{type: Ready, status: '{ready}'}}]}}\n",
                variant % 3
            )
        }
        Thing::Node(n) => format!(
            "apiVersion: v1\nkind: Node\nmetadata: {{name: n{n}, labels: {{topology.kubernetes.io/zone: z{}}}}}\n\
             status: {{addresses: [{{type: InternalIP, address: 192.168.0.{variant}}}]}}\n",
            variant % 2
        ),
        Thing::Other(n) => {
            if variant.is_multiple_of(2) {
                format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: ns{n}}}\n")
            } else {
                format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: c{n}}}\n")
            }
        }
    }
}

type World = BTreeMap<u8, Contents>;

fn remove(world: &mut World, thing: Thing) {
    for contents in world.values_mut() {
        contents.things.retain(|(other, _)| *other != thing);
    }
}

fn apply(world: &mut World, edit: &Edit) {
    match *edit {
        Edit::Put(thing, file, variant) => {
            let here = world.entry(file).or_default();
            if let Some(known) = here.things.iter_mut().find(|(other, _)| *other == thing) {
                known.1 = variant;
                return;
            }
            remove(world, thing);
            world.entry(file).or_default().things.push((thing, variant));
        }
        Edit::Remove(thing) => remove(world, thing),
        Edit::Copy(thing, file, variant) => {
            world.entry(file).or_default().copies.push((thing, variant));
        }
        Edit::Break(file) => world.entry(file).or_default().broken = true,
        Edit::Mend(file) => {
            if let Some(contents) = world.get_mut(&file) {
                contents.broken = false;
                contents.copies.clear();
            }
        }
        Edit::Turn(file) => {
            if let Some(contents) = world.get_mut(&file) {
                contents.backwards ^= true;
            }
        }
        Edit::DeleteFile(file) => {
            world.remove(&file);
        }
    }
}

/// Writes what is different; the names of the files.
fn write(live: &Live, before: &World, after: &World, way: Way) -> BTreeSet<String> {
    let mut changed = BTreeSet::new();
    for file in 0..FILES {
        let text = |world: &World| world.get(&file).map(Contents::text);
        let (before, after) = (text(before), text(after));
        if before == after {
            continue;
        }
        let name = format!("in/f{file}.yaml");
        let path = live.path(&name);
        match after {
            None => fs::remove_file(path).unwrap(),
            Some(text) if way.rename => replace(&path, &text),
            Some(text) => fs::write(path, text).unwrap(),
        }
        changed.insert(name);
    }
    changed
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn deltas_lead_to_what_a_fresh_load_gives(
        steps in prop::collection::vec((prop::collection::vec(edit(), 1..6), way()), 1..24)
    ) {
        let mut live = Live::of_directory(&[("in/g.yaml", &service("always"))]);
        let mut world = World::new();
        for (edits, way) in steps {
            let before = world.clone();
            edits.iter().for_each(|edit| apply(&mut world, edit));
            let changed = write(&live, &before, &world, way);
            let mut changes: Changes = changed.iter().map(|name| live.path(name)).collect();
            changes.everything = way.everything;
            if way.directory {
                changes.paths.insert(live.path("in"));
            }
            drop(live.tell(&changes));
        }
        // And once nothing is wrong any more, it is all in force.
        let before = world.clone();
        (0..FILES).for_each(|file| apply(&mut world, &Edit::Mend(file)));
        for thing in (0..5).map(Thing::Service) {
            remove(&mut world, thing);
        }
        let way = Way { rename: false, everything: false, directory: false };
        let changed = write(&live, &before, &world, way);
        let changes = changed.iter().map(|name| live.path(name)).collect();
        prop_assert!(live.tell(&changes).is_ok());
        prop_assert_eq!(live.source.failing(), None);
    }
}
