//! Which IP families a Service gets, and with which policy.
//!
//! Source: Kubernetes' `initIPFamilyFields` (registry of Services), for a Service that is created:
//! manifests are the complete state, so what a Service of that name was yesterday says nothing
//! about its families today. Two differences, both because a manifest may come from a cluster whose
//! second range portolan was not told: an explicit cluster IP of a family without a range is
//! accepted, and so are two explicit cluster IPs without a policy.

use super::super::{IpFamily, IpFamilyPolicy, Service, ServiceType};

/// How to mend what the missing range of a family makes impossible.
const HINT: &str = "give its range with --service-cidr";

/// A Service's families, as the API server would store them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Families {
    /// `spec.ipFamilyPolicy`.
    pub(super) policy: Option<IpFamilyPolicy>,
    /// `spec.ipFamilies`, primary first.
    pub(super) families: Vec<IpFamily>,
}

/// A field at fault and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) field: String,
    pub(super) reason: String,
}

/// The API's spelling of a policy.
pub(super) fn policy_name(policy: IpFamilyPolicy) -> &'static str {
    match policy {
        IpFamilyPolicy::SingleStack => "SingleStack",
        IpFamilyPolicy::PreferDualStack => "PreferDualStack",
        IpFamilyPolicy::RequireDualStack => "RequireDualStack",
    }
}

/// The families of a Service on a cluster whose ranges have the families `configured`.
pub(super) fn resolve(
    service: &Service,
    configured: &[IpFamily],
) -> Result<Families, Vec<Refusal>> {
    if service.service_type == ServiceType::ExternalName {
        return Ok(Families {
            policy: service.ip_family_policy,
            families: service.ip_families.clone(),
        });
    }
    let policy = policy_of(service);
    refuse_two_for_single_stack(service, policy)?;
    let families = if endpoints_by_others(service) {
        any_families(service, policy, configured)
    } else {
        families_with_ranges(service, policy, configured)?
    };
    Ok(Families {
        policy: Some(policy),
        families,
    })
}

/// The policy: as written, or what the other fields mean.
fn policy_of(service: &Service) -> IpFamilyPolicy {
    let two = service.cluster_ips.len() == 2 || endpoints_by_others(service);
    service.ip_family_policy.unwrap_or(if two {
        IpFamilyPolicy::RequireDualStack
    } else {
        IpFamilyPolicy::SingleStack
    })
}

/// Headless without a selector: someone else makes its endpoints, of whatever family.
fn endpoints_by_others(service: &Service) -> bool {
    service.headless && service.selector.is_empty()
}

/// The families that the manifest itself names, in `ipFamilies` or by an explicit cluster IP.
fn requested(service: &Service) -> Vec<IpFamily> {
    let inferred = explicit(service).skip(service.ip_families.len());
    service
        .ip_families
        .iter()
        .copied()
        .chain(inferred)
        .collect()
}

/// The families of the explicit cluster IPs.
fn explicit(service: &Service) -> impl Iterator<Item = IpFamily> {
    service.cluster_ips.iter().map(|ip| IpFamily::of(*ip))
}

/// Families of a Service whose endpoints others make: both, whatever ranges there are.
fn any_families(
    service: &Service,
    policy: IpFamilyPolicy,
    configured: &[IpFamily],
) -> Vec<IpFamily> {
    let mut families = requested(service);
    if families.is_empty() {
        families.push(default_family(configured));
    }
    if policy != IpFamilyPolicy::SingleStack {
        append_other(&mut families);
    }
    families
}

/// Families out of those the cluster has ranges for, and those of the explicit cluster IPs.
fn families_with_ranges(
    service: &Service,
    policy: IpFamilyPolicy,
    configured: &[IpFamily],
) -> Result<Vec<IpFamily>, Vec<Refusal>> {
    let mut known = configured.to_vec();
    known.extend(explicit(service).filter(|family| !configured.contains(family)));

    let mut families = requested(service);
    if families.is_empty() {
        families.push(default_family(configured));
    }
    refuse_unknown(&families, policy, &known)?;
    if policy != IpFamilyPolicy::SingleStack && known.len() == 2 {
        append_other(&mut families);
    }
    Ok(families)
}

/// The family of the first range.
fn default_family(configured: &[IpFamily]) -> IpFamily {
    configured.first().copied().unwrap_or(IpFamily::V4)
}

fn append_other(families: &mut Vec<IpFamily>) {
    let missing = IpFamily::ALL
        .into_iter()
        .find(|family| !families.contains(family));
    families.extend(missing);
}

fn refuse_two_for_single_stack(
    service: &Service,
    policy: IpFamilyPolicy,
) -> Result<(), Vec<Refusal>> {
    if policy != IpFamilyPolicy::SingleStack {
        return Ok(());
    }
    let lists = [
        (service.cluster_ips.len(), "cluster IPs"),
        (service.ip_families.len(), "IP families"),
    ];
    let refusals = lists.into_iter().filter(|(length, _)| *length > 1);
    let refusals: Vec<_> = refusals
        .map(|(_, what)| {
            refuse_policy(
                policy,
                &format!(
                    "must be 'RequireDualStack' or 'PreferDualStack' when multiple {what} are specified"
                ),
            )
        })
        .collect();
    none_or(refusals)
}

fn refuse_unknown(
    families: &[IpFamily],
    policy: IpFamilyPolicy,
    known: &[IpFamily],
) -> Result<(), Vec<Refusal>> {
    let mut refusals = Vec::new();
    if policy == IpFamilyPolicy::RequireDualStack && known.len() < 2 {
        refusals.push(refuse_policy(
            policy,
            &format!(
                "this cluster is not configured for dual-stack services; {HINT} (a second one, of the other family)"
            ),
        ));
    }
    for (index, family) in families.iter().enumerate() {
        if !known.contains(family) {
            refusals.push(Refusal {
                field: format!("spec.ipFamilies[{index}]"),
                reason: format!(
                    "Invalid value: \"{family}\": not configured on this cluster; {HINT}"
                ),
            });
        }
    }
    none_or(refusals)
}

fn refuse_policy(policy: IpFamilyPolicy, why: &str) -> Refusal {
    Refusal {
        field: "spec.ipFamilyPolicy".to_owned(),
        reason: format!("Invalid value: \"{}\": {why}", policy_name(policy)),
    }
}

fn none_or(refusals: Vec<Refusal>) -> Result<(), Vec<Refusal>> {
    if refusals.is_empty() {
        Ok(())
    } else {
        Err(refusals)
    }
}
