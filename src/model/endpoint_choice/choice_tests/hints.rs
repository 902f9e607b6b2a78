//! Hints of zones and nodes.

use super::*;

#[test]
fn zone_hints_narrow_the_list_only_if_every_ready_endpoint_has_them_and_one_is_for_us() {
    check(&[
        hints(
            "hints for our zone",
            "a",
            &[
                "10.0.0.1 zones=a",
                "10.0.0.2 zones=b",
                "10.0.0.3 zones=c",
                "10.0.0.4 zones=a",
            ],
            &[1, 4],
        ),
        hints(
            "an endpoint meant for several zones",
            "a",
            &[
                "10.0.0.1 zones=a,b,c",
                "10.0.0.2 zones=b,c",
                "10.0.0.3 zones=b",
                "10.0.0.4 zones=c",
            ],
            &[1],
        ),
        hints(
            "one endpoint without a hint",
            "a",
            &["10.0.0.1 zones=a", "10.0.0.2", "10.0.0.3 zones=b"],
            &[1, 2, 3],
        ),
        hints(
            "nothing for our zone",
            "d",
            &["10.0.0.1 zones=a", "10.0.0.2 zones=b"],
            &[1, 2],
        ),
        hints(
            "a node without a zone",
            "",
            &["10.0.0.1 zones=a", "10.0.0.2 zones=b"],
            &[1, 2],
        ),
        hints("no hints at all", "a", &["10.0.0.1", "10.0.0.2"], &[1, 2]),
    ]);
}

#[test]
fn unready_endpoints_are_not_used_and_their_hints_do_not_count() {
    check(&[
        hints(
            "an unready endpoint of our zone",
            "a",
            &[
                "10.0.0.1 zones=a",
                "10.0.0.2 zones=b",
                "10.0.0.3 zones=a unready",
            ],
            &[1],
        ),
        hints(
            "an unready endpoint without hints does not switch them off",
            "a",
            &["10.0.0.1 zones=a", "10.0.0.2 zones=b", "10.0.0.3 unready"],
            &[1],
        ),
        hints(
            "the only endpoint for our zone is unready",
            "a",
            &["10.0.0.1 zones=a unready", "10.0.0.2 zones=b"],
            &[2],
        ),
        hints("without hints", "", &["10.0.0.1", "10.0.0.2 unready"], &[1]),
        hints("all unready", "", &["10.0.0.1 unready"], &[]),
        hints("none", "a", &[], &[]),
    ]);
}

#[test]
fn node_hints_come_before_zone_hints() {
    check(&[
        hints(
            "one for our node",
            "a",
            &[
                "10.0.0.1 zones=a nodes=n1",
                "10.0.0.2 zones=a nodes=n2",
                "10.0.0.3 zones=b nodes=n3",
            ],
            &[1],
        ),
        hints(
            "none for our node: by zone",
            "a",
            &[
                "10.0.0.1 zones=a nodes=n2",
                "10.0.0.2 zones=a nodes=n3",
                "10.0.0.3 zones=b nodes=n4",
            ],
            &[1, 2],
        ),
        hints(
            "not every endpoint has a node hint: by zone",
            "a",
            &["10.0.0.1 zones=a nodes=n1", "10.0.0.2 zones=a"],
            &[1, 2],
        ),
        hints(
            "our node unready: by zone",
            "a",
            &[
                "10.0.0.1 zones=a nodes=n1 unready",
                "10.0.0.2 zones=a nodes=n2",
                "10.0.0.3 zones=b nodes=n3",
            ],
            &[2],
        ),
        hints(
            "neither our node nor our zone",
            "d",
            &["10.0.0.1 zones=a nodes=n2", "10.0.0.2 zones=b nodes=n3"],
            &[1, 2],
        ),
        hints(
            "node hints without zone hints, elsewhere",
            "a",
            &["10.0.0.1 nodes=n2", "10.0.0.2 nodes=n3"],
            &[1, 2],
        ),
    ]);
}
