//! What a large cluster costs: 10 000 services of 10 endpoints each.

#[path = "plan_support/ruleset.rs"]
mod ruleset;

use std::convert::Infallible;
use std::time::Instant;

use portolan::model::IpFamily;
use portolan::plan::diff::{DesiredState, PresentState, Step, plan};
use portolan::plan::xtables::encode::encode;
use portolan::plan::xtables::rule::XtRuleset;
use ruleset::Rules;

/// Resident memory of this process in bytes.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"));
    let kib = line.and_then(|l| l.trim().strip_suffix(" kB"));
    kib.and_then(|k| k.trim().parse::<usize>().ok())
        .unwrap_or_default()
        * 1024
}

/// The kernel's listing of a ruleset that was applied.
fn listed(rules: &Rules) -> PresentState {
    let mut present = PresentState::new(IpFamily::V4);
    // The real kernel counts uses; here nothing points to a chain from outside of the ruleset.
    rules.for_each_chain(&mut |chain| present.add_chain(chain.table, &chain.name, false, 0));
    let mut handle = 0;
    rules.for_each_chain(&mut |chain| {
        for rule in &chain.rules {
            handle += 1;
            let body = encode(rule, IpFamily::V4);
            present.add_rule(chain.table, &chain.name, handle, &body);
        }
    });
    present
}

#[test]
fn ten_thousand_services_compare_in_little_memory() {
    let rules = Rules((0..10_000).map(|s| (s, (0..10).collect())).collect());
    let before = resident();
    let start = Instant::now();
    let present = listed(&rules);
    let read = start.elapsed();
    let desired = DesiredState::of(&rules);
    let both = resident().saturating_sub(before);
    let start = Instant::now();
    let plan = plan(&desired, &present);
    let compared = start.elapsed();
    let mut steps = 0;
    let done = plan.ops::<Infallible>(&rules, &mut |step| {
        steps += usize::from(matches!(step, Step::Op(_)));
        Ok(())
    });
    let peak = resident().saturating_sub(before);
    println!(
        "{} chains, {} rules: both states {} KiB, with the plan {} KiB; \
         read in {read:?}, compared in {compared:?}",
        desired.chains(),
        desired.rules(),
        both / 1024,
        peak / 1024
    );
    assert!(done.is_ok());
    assert!(desired.chains() > 110_000 && desired.rules() > 310_000);
    // Only the built-in chains and the jumps in them are missing.
    assert_eq!(steps, plan.counts().steps);
    assert_eq!(plan.counts().steps, 3 + 4);
    assert!(peak < 40 << 20, "{peak} bytes");
}
