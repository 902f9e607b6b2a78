//! What the kernel says of a transaction that it refuses.

use super::*;

#[test]
fn every_refused_step_is_named_with_the_part_that_is_wrong() {
    in_new_netns(|| {
        let mut socket = socket();
        let chains = with_chains(&mut socket, &["A", "B"]);
        let [a, b] = chains.as_slice() else {
            panic!("{chains:?}")
        };
        let bad_match = xt::xt_match("no-such-match", 0, vec![0; 8]);
        let result = commit(
            &mut socket,
            &[
                append(a, vec![Expr::Counter, jump(b)]),
                Op::DeleteChain(b.clone()),
                append(a, vec![Expr::Counter, jump(&chain(V4, "nat", "MISSING"))]),
                append(a, vec![xt::comment("x"), bad_match]),
                Op::FlushChain(chain(V4, "nat", "GONE")),
                Op::DeleteRule {
                    chain: a.clone(),
                    handle: 999,
                },
                add_rule(a, Place::Before(999), vec![Expr::Counter]),
                Op::DeleteTable(table(V6, "nat")),
            ],
        );
        let lines: Vec<_> = refusals(result).iter().map(ToString::to_string).collect();
        let expected = [
            "delete chain ip nat B: Device or resource busy (it is still in use)",
            "add rule in chain ip nat A: No such file or directory (the chain, a chain or set it refers to, \
             or a kernel module for it is missing), at expression 2 (immediate)",
            "add rule in chain ip nat A: No such file or directory (the chain, a chain or set it refers to, \
             or a kernel module for it is missing), at expression 2 (match no-such-match)",
            "flush chain ip nat GONE: No such file or directory, at the chain's name",
            "delete rule 999 in chain ip nat A: No such file or directory, at the rule's handle",
            "insert rule in chain ip nat A: No such file or directory (the chain, a chain or set it \
             refers to, or a kernel module for it is missing), at the neighbouring rule's handle",
            "delete table ip6 nat: No such file or directory, at the table's name",
        ];
        assert_eq!(lines, expected);
    });
}

#[test]
fn a_batch_that_is_wrong_throughout_is_summed_up() {
    in_new_netns(|| {
        let mut socket = socket();
        let rule = append(&chain(V4, "nat", "A"), vec![Expr::Counter]);
        let error = commit(&mut socket, &vec![rule; 2000]).unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with("the kernel refused to add rule in chain ip nat A"));
        assert!(text.ends_with("; and 1997 more"), "{text}");
    });
}

#[test]
fn a_circle_of_chains_is_refused_at_the_rule_that_closes_it() {
    in_new_netns(|| {
        let mut socket = socket();
        let chains = with_chains(&mut socket, &["A", "B"]);
        let [a, b] = chains.as_slice() else {
            panic!("{chains:?}")
        };
        let output = chain(V4, "nat", "OUTPUT");
        let result = commit(
            &mut socket,
            &[
                add_base(&output, "nat", 3, -100),
                append(&output, vec![jump(a)]),
                append(a, vec![jump(b)]),
                append(b, vec![jump(a)]),
            ],
        );
        assert_eq!(
            result.unwrap_err().to_string(),
            "the kernel refused to add rule in chain ip nat B: Too many links \
             (chains jump in a circle, or too deep)"
        );
    });
}
