//! What is read back.

use super::*;

#[test]
fn other_tables_and_families_are_not_shown() {
    in_new_netns(|| {
        let mut socket = socket();
        with_chains(&mut socket, &["A"]);
        run(
            "nft",
            &[
                "add table inet other; add table ip mine; add chain ip mine X; add rule ip mine X accept",
            ],
        );
        run("ip6tables", &["-t", "nat", "-N", "SIX"]);
        let mut names = Vec::new();
        let visit = &mut |table: TableView<'_>| names.push(table.name.to_owned());
        dump_tables(&mut socket, V4, visit).unwrap();
        assert_eq!(names, ["nat", "mine"]);
        assert_eq!(chain_names(&mut socket), ["A"]);
        let mut rules = 0;
        dump_rules(&mut socket, &table(V4, "nat"), None, &mut |_| rules += 1).unwrap();
        assert_eq!(rules, 0);
    });
}

#[test]
fn expressions_beyond_the_vocabulary_are_kept_as_they_are() {
    in_new_netns(|| {
        let script = "add table ip nat; add chain ip nat X; \
                      add rule ip nat X limit rate 1/second ct mark set 1 numgen inc mod 2 1 accept";
        run("nft", &[script]);
        let mut names = Vec::new();
        let visit = &mut |rule: RuleView<'_>| {
            for expr in rule.body.exprs {
                if let Expr::Other { name, data } = expr {
                    assert!(!data.is_empty());
                    names.push(name.into_string());
                }
            }
        };
        dump_rules(&mut socket(), &table(V4, "nat"), None, visit).unwrap();
        assert_eq!(names, ["limit", "immediate", "ct", "numgen"]);
    });
}

#[test]
fn a_dump_during_foreign_commits_is_read_again_until_it_is_whole() {
    in_new_netns(|| {
        let mut socket = socket();
        let chains = with_chains(&mut socket, &["A"]);
        let a = chains.first().unwrap();
        let rule = append(a, vec![xt::comment("some text"), Expr::Counter]);
        commit(&mut socket, &vec![rule; 20_000]).unwrap();
        let attempts = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            // Threads start in the namespace of the thread that starts them.
            scope.spawn(|| {
                let mut other = kernel_support::socket();
                let x = chain(V4, "other", "X");
                commit(&mut other, &[Op::AddTable(x.table.clone())]).unwrap();
                while attempts.load(Ordering::Relaxed) < 3 {
                    commit(&mut other, &[add_chain(&x)]).unwrap();
                    commit(&mut other, &[Op::DeleteChain(x.clone())]).unwrap();
                }
            });
            let (at, count) = read_consistently(&mut socket, |socket| {
                attempts.fetch_add(1, Ordering::Relaxed);
                let mut count = 0;
                dump_rules(socket, &a.table, None, &mut |_| count += 1)?;
                Ok(count)
            })
            .unwrap();
            assert_eq!(count, 20_000);
            assert!(attempts.load(Ordering::Relaxed) > 1);
            assert_eq!(at, generation(&mut socket).unwrap());
        });
    });
}
