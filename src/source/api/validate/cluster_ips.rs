//! `spec.clusterIP`, `clusterIPs`, `ipFamilies` and `ipFamilyPolicy` of a Service
//! (`ValidateServiceClusterIPsRelatedFields` upstream).

use std::net::IpAddr;

use k8s_openapi::api::core::v1::ServiceSpec;

use crate::model::IpFamily;
use crate::source::api::{CLUSTER_IP_NONE, Findings, Path, ip, is_headless};

const FAMILIES: [&str; 2] = ["IPv4", "IPv6"];
const FAMILY_POLICIES: [&str; 3] = ["PreferDualStack", "RequireDualStack", "SingleStack"];

/// Checks the four fields and that they agree.
pub(super) fn cluster_ips(spec: &ServiceSpec, path: &Path<'_>, findings: &mut Findings) {
    if spec.type_.as_deref() == Some("ExternalName") {
        // None of them may be set; said where the type is checked.
        return;
    }
    let field = path.child("clusterIPs");
    let none = Vec::new();
    let texts = spec.cluster_ips.as_ref().unwrap_or(&none);
    match (
        spec.cluster_ip.as_deref().unwrap_or_default(),
        texts.first(),
    ) {
        ("", Some(_)) => {
            findings.invalid(
                &field,
                texts,
                "must be empty when `clusterIP` is not specified",
            );
        }
        (single, Some(first)) if first != single => {
            findings.invalid(&field, texts, "first value must match `clusterIP`");
        }
        _ => {}
    }
    families(spec, path, findings);
    let Some(addresses) = addresses(texts, &field, findings) else {
        return;
    };
    let families: Vec<IpFamily> = addresses.iter().map(|&ip| IpFamily::of(ip)).collect();
    if texts.len() > 1 && !(families.len() == 2 && families[0] != families[1]) {
        findings.invalid(
            &field,
            texts,
            "may specify no more than one IP for each IP family",
        );
    }
    if is_headless(spec) {
        return;
    }
    let wanted = spec.ip_families.as_deref().unwrap_or_default();
    for (i, (family, wanted)) in families.iter().zip(wanted).enumerate() {
        if family.to_string() != *wanted && FAMILIES.contains(&wanted.as_str()) {
            let detail = format!("expected an {wanted} value as indicated by `ipFamilies[{i}]`");
            findings.invalid(&field.index(i), &texts[i], detail);
        }
    }
    single_stack(spec, texts.len(), path, findings);
}

fn families(spec: &ServiceSpec, path: &Path<'_>, findings: &mut Findings) {
    let field = path.child("ipFamilies");
    let families = spec.ip_families.as_deref().unwrap_or_default();
    for (i, family) in families.iter().enumerate() {
        findings.one_of(&field.index(i), family, &FAMILIES);
        if families[..i].contains(family) {
            findings.duplicate(&field.index(i), family);
        }
    }
    if let Some(policy) = &spec.ip_family_policy {
        findings.one_of(&path.child("ipFamilyPolicy"), policy, &FAMILY_POLICIES);
    }
}

/// The addresses in the list; `None` if one of them is wrong, since then nothing more can be said.
fn addresses(
    texts: &Vec<String>,
    field: &Path<'_>,
    findings: &mut Findings,
) -> Option<Vec<IpAddr>> {
    let mut addresses = Vec::new();
    let mut wrong = false;
    for (i, text) in texts.iter().enumerate() {
        if i == 0 && text == CLUSTER_IP_NONE {
            if texts.len() > 1 {
                wrong = true;
                findings.invalid(field, texts, "'None' must be the first and only value");
            }
            continue;
        }
        let address = ip::check_ip(findings, &field.index(i), text);
        wrong |= address.is_none();
        addresses.extend(address);
    }
    if texts.len() > 2 {
        findings.invalid(field, texts, "may only hold up to 2 values");
    }
    (!wrong).then_some(addresses)
}

/// `SingleStack` with two of anything cannot be had (the API server says so while allocating).
fn single_stack(spec: &ServiceSpec, addresses: usize, path: &Path<'_>, findings: &mut Findings) {
    let families = spec.ip_families.as_ref().map_or(0, Vec::len);
    if spec.ip_family_policy.as_deref() == Some("SingleStack") && (families > 1 || addresses > 1) {
        let field = path.child("ipFamilyPolicy");
        let several = if addresses > 1 {
            "clusterIPs"
        } else {
            "ipFamilies"
        };
        let detail = format!(
            "must be RequireDualStack or PreferDualStack when multiple '{several}' are specified"
        );
        findings.invalid(&field, "SingleStack", detail);
    }
}
