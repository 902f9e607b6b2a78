//! A queue that runs over is told, and everything after it is heard again.

use super::*;

/// The least room the kernel gives: some ten notifications.
const LITTLE: usize = 64 * 1024;

/// A file for `nft -f` that adds many rules to our table.
fn load(rules: usize) -> String {
    let mut text = "add chain ip portolan load\n".to_owned();
    for number in 0..rules {
        text += &format!("add rule ip portolan load counter comment \"{number}\"\n");
    }
    text
}

fn nft_file(text: &str) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
    run("nft", &["-f", file.path().to_str().unwrap()]);
}

#[test]
fn a_load_larger_than_the_queue_is_an_overrun_and_not_silence() {
    in_new_netns(|| {
        nft(TABLE);
        let mut monitor = NftMonitor::open_with_room(interest(), LITTLE).unwrap();
        nft_file(&load(5000));
        assert_eq!(drain(&mut monitor), [Heard::Overrun]);
        nft("flush chain ip portolan services");
        assert_eq!(
            words(&mut monitor),
            ["2 rules deleted from chain services of table ip portolan by nft"]
        );
    });
}

#[test]
fn an_overrun_by_other_tables_is_told_too() {
    in_new_netns(|| {
        nft(TABLE);
        let mut monitor = NftMonitor::open_with_room(interest(), LITTLE).unwrap();
        for number in 0..100 {
            nft(&format!("add table ip other{number}"));
        }
        nft("delete table ip portolan");
        // Whether the deletion was among the lost, nobody can tell.
        assert_eq!(drain(&mut monitor), [Heard::Overrun]);
        assert_eq!(drain(&mut monitor), []);
    });
}

#[test]
fn after_an_overrun_and_a_reading_nothing_is_missing() {
    in_new_netns(|| {
        nft(TABLE);
        let mut monitor = NftMonitor::open_with_room(interest(), LITTLE).unwrap();
        let mut reader = socket();
        for round in 0..5 {
            nft_file(&load(1000));
            nft("add rule ip portolan services drop");
            assert_eq!(drain(&mut monitor), [Heard::Overrun], "round {round}");
            monitor.known(generation(&mut reader).unwrap());
            nft("add rule ip portolan services drop");
            assert_eq!(
                words(&mut monitor),
                ["1 rule added to chain services of table ip portolan by nft"]
            );
        }
    });
}

#[test]
fn a_large_foreign_load_fits_the_usual_queue_and_takes_little_memory_to_tell() {
    in_new_netns(|| {
        nft(TABLE);
        let mut monitor = open();
        nft_file(&load(20_000));
        let heard = transactions(&mut monitor);
        assert_eq!(heard.len(), 1);
        let damage = &heard[0].damage;
        assert_eq!(damage.len(), 2, "chain and rules: {damage:?}");
        assert_eq!(damage[1].added, 20_000);
    });
}

#[test]
fn of_very_many_objects_a_few_hundred_are_told_by_name_and_the_rest_counted() {
    in_new_netns(|| {
        nft(TABLE);
        let mut monitor = open();
        let chain = |number| format!("add chain ip portolan c{number}\n");
        nft_file(&(0..3000).map(chain).collect::<String>());
        let heard = transactions(&mut monitor);
        let damage = &heard[0].damage;
        assert!(damage.len() < 300, "{}", damage.len());
        let last = damage.last().unwrap();
        assert_eq!(last.name, None);
        let added: usize = damage.iter().map(|damage| damage.added).sum();
        assert_eq!(added, 3000);
        let text = repair::by(&heard[0]);
        assert!(text.len() < 400, "{text}");
    });
}

#[test]
fn own_loads_do_not_overrun_even_a_small_queue() {
    in_new_netns(|| {
        let mut writer = socket();
        let mut monitor = NftMonitor::open_with_room(interest(), LITTLE).unwrap();
        monitor.ignore(&writer);
        let table = Op::AddTable(table(V4, "portolan"));
        commit(&mut writer, None, &[table, add_set("own")]).unwrap();
        commit(&mut writer, None, &[add_elements("own", 0..20_000)]).unwrap();
        nft("add element ip portolan own { 10.0.0.1 }");
        assert_eq!(
            words(&mut monitor),
            ["1 element added to set own of table ip portolan by nft"]
        );
    });
}
