//! What the loop has to say to those who look at the cluster: Events on the own Node.

use crate::model::NamespacedName;
use crate::source::kubernetes::Announcement;

/// The first load is in the kernel.
pub(super) fn started(mode: &str, services: usize) -> Announcement {
    Announcement {
        warning: false,
        reason: "Starting",
        action: "StartPortolan",
        note: format!(
            "{} {} programs {services} Services in {mode} mode",
            env!("CARGO_PKG_NAME"),
            env!("CARGO_PKG_VERSION"),
        ),
        service: None,
    }
}

/// The first load failed, and the process ends: rules of a kube-proxy that are in the way, no
/// permission, a kernel without nf_tables.
pub(super) fn not_started(why: &str) -> Announcement {
    Announcement {
        warning: true,
        reason: "NotStarted",
        action: "StartPortolan",
        note: why.to_owned(),
        service: None,
    }
}

/// The kernel does not hold what it should.
pub(super) fn failed(why: &str) -> Announcement {
    Announcement {
        warning: true,
        reason: "ProgrammingFailed",
        action: "ProgramRules",
        note: format!("{why}; trying again"),
        service: None,
    }
}

/// And now it does.
pub(super) fn succeeded() -> Announcement {
    Announcement {
        warning: false,
        reason: "ProgrammingSucceeded",
        action: "ProgramRules",
        note: "the rules are as they should be again".to_owned(),
        service: None,
    }
}

/// Somebody else keeps changing our rules.
pub(super) fn contested() -> Announcement {
    Announcement {
        warning: true,
        reason: "RulesContested",
        action: "RepairRules",
        note: "other programs keep changing the rules of Services on this node; repairing them \
               less often"
            .to_owned(),
        service: None,
    }
}

/// A health-check node port cannot be served. Reason and action are kube-proxy's.
pub(super) fn not_served(service: NamespacedName, why: String) -> Announcement {
    Announcement {
        warning: true,
        reason: "FailedToStartServiceHealthcheck",
        action: "Listen",
        note: why,
        service: Some(service),
    }
}
