use super::super::range::{Bands, RangeError, address_at};
use super::*;

/// Range, size of the static band, first and last address of the dynamic band.
const SERVICE_RANGES: [(&str, u128, &str, &str); 10] = [
    ("10.0.0.0/24", 16, "10.0.0.17", "10.0.0.254"),
    ("10.0.0.0/22", 64, "10.0.0.65", "10.0.3.254"),
    ("10.96.0.0/16", 256, "10.96.1.1", "10.96.255.254"),
    ("10.96.0.0/12", 256, "10.96.1.1", "10.111.255.254"),
    ("10.0.0.0/26", 16, "10.0.0.17", "10.0.0.62"),
    ("10.0.0.0/27", 16, "10.0.0.17", "10.0.0.30"),
    ("10.0.0.0/28", 0, "10.0.0.1", "10.0.0.14"),
    ("10.0.0.0/29", 0, "10.0.0.1", "10.0.0.6"),
    ("2001:db8::/120", 16, "2001:db8::11", "2001:db8::ff"),
    (
        "fd00:10:96::/112",
        256,
        "fd00:10:96::101",
        "fd00:10:96::ffff",
    ),
];

#[test]
fn bands_of_service_ranges_are_the_api_servers() {
    for (range, static_size, first, last) in SERVICE_RANGES {
        let range = range.parse().unwrap();
        let bands = Bands::of_addresses(&range);
        assert_eq!(bands.static_size, static_size, "{range}");
        let dynamic = [bands.static_size, bands.usable - 1];
        let ends = dynamic.map(|position| address_at(&range, position));
        assert_eq!(ends, [Some(ip(first)), Some(ip(last))], "{range}");
    }
}

#[test]
fn a_range_of_64_bits_has_bands_too() {
    let range = "fd00::/64".parse().unwrap();
    let bands = Bands::of_addresses(&range);
    assert_eq!(bands.static_size, 256);
    assert_eq!(bands.usable, (1 << 64) - 1);
    assert_eq!(address_at(&range, 256), Some(ip("fd00::101")));
}

#[test]
fn bands_of_node_port_ranges_are_the_api_servers() {
    let sizes = [
        (30000..=32767, 86),
        (30000..=30015, 0),
        (30000..=30016, 16),
        (30000..=30099, 16),
        (30000..=30999, 31),
        (30000..=39999, 128),
        (1..=65535, 128),
    ];
    for (range, static_size) in sizes {
        assert_eq!(
            Bands::of_ports(&range).static_size,
            static_size,
            "{range:?}"
        );
    }
}

#[test]
fn ranges_that_an_api_server_would_not_start_with_are_refused() {
    let reasons = |cidrs: &str, ports| {
        let cidrs: Vec<_> = cidrs
            .split_terminator(',')
            .map(|c| c.parse().unwrap())
            .collect();
        let errors = Ranges::new(&cidrs, ports).unwrap_err();
        errors.iter().map(RangeError::to_string).collect::<Vec<_>>()
    };
    assert_eq!(
        reasons("10.0.0.0/24,10.1.0.0/30,fd00::/63", 0..=3),
        [
            "more than one IPv4 Service range given (10.0.0.0/24, 10.1.0.0/30): at most one of each family is possible",
            "Service range 10.1.0.0/30 is too small: it must have at least 8 addresses",
            "Service range fd00::/63 is too large: the shortest allowed IPv6 prefix is /64",
            "node port range 0-3 is not valid: it must be not empty and within 1-65535",
        ]
    );
    assert_eq!(
        reasons("", 30000..=30001),
        ["no Service range given: at least one is needed"]
    );
    assert!(!reasons("10.0.0.0/24", std::ops::RangeInclusive::new(2, 1)).is_empty());
}

#[test]
fn host_bits_of_a_range_are_dropped() {
    let ranges = Ranges::new(&["10.0.0.7/24".parse().unwrap()], 1..=9).unwrap();
    assert_eq!(ranges.cluster_ips, ["10.0.0.0/24".parse().unwrap()]);
}
