//! The API server: all load balancers, and the status of one. No request outlasts the Lease that it
//! is made by.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Service as Object;
use kube::api::{Api, ListParams, Patch, PatchParams};
use serde_json::json;
use tokio::time::timeout_at;

use super::decide::Gift;
use crate::model::allocate::AddressRange;
use crate::model::{NamespacedName, Service};
use crate::source::api::convert::{self, Interner};
use crate::source::kubernetes::client::{AskError, Renewed};
use crate::source::with_causes;

/// How long one request may take, if the Lease lasts as long.
const PATIENCE: Duration = Duration::from_secs(10);
/// The name that writes are made under (`metadata.managedFields`), by which people find what
/// portolan gave.
const MANAGER: &str = "portolan";

/// All Services of type LoadBalancer at one time.
#[derive(Debug, Default)]
pub(super) struct Listed {
    pub(super) services: BTreeMap<NamespacedName, Service>,
    /// Their `metadata.resourceVersion`.
    pub(super) versions: BTreeMap<NamespacedName, String>,
    /// Those whose status portolan wrote.
    pub(super) ours: BTreeSet<NamespacedName>,
}

impl Listed {
    fn add(&mut self, object: Object, names: &mut Interner) {
        let version = object.metadata.resource_version.clone();
        let ours = is_ours(&object);
        let service = convert::service(object, names);
        let name = service.name.clone();
        if ours {
            self.ours.insert(name.clone());
        }
        self.versions
            .insert(name.clone(), version.unwrap_or_default());
        self.services.insert(name, service);
    }

    /// Services whose status has addresses that portolan gave, none of them of these pools.
    pub(super) fn strays(&self, pools: &[AddressRange]) -> BTreeSet<NamespacedName> {
        let inside = |name: &&NamespacedName| {
            let ingress = self.services.get(name).map(|service| &service.ingress);
            let mut ips = ingress.into_iter().flatten().filter_map(|entry| entry.ip);
            ips.any(|ip| pools.iter().any(|pool| pool.contains(ip)))
        };
        let has_any = |name: &&NamespacedName| {
            let service = self.services.get(name);
            service.is_some_and(|service| !service.ingress.is_empty())
        };
        let strays = self.ours.iter().filter(has_any);
        strays.filter(|name| !inside(name)).cloned().collect()
    }
}

fn is_ours(object: &Object) -> bool {
    let mut managers = object.metadata.managed_fields.iter().flatten();
    managers.any(|entry| {
        entry.manager.as_deref() == Some(MANAGER) && entry.subresource.as_deref() == Some("status")
    })
}

/// A request that came to nothing.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unwritten {
    /// The Lease ran out before it was sent.
    TooLate,
    /// The Service is no longer what was decided about.
    Conflict,
    /// The API server said no.
    Refused(String),
    /// Nobody knows whether it arrived, nor whether it will.
    Unknown(String),
}

pub(super) struct Balancers {
    renewed: Arc<Renewed>,
}

impl Balancers {
    pub(super) fn new(renewed: Arc<Renewed>) -> Self {
        Self { renewed }
    }

    /// All of them, as they are now: without a `resourceVersion` no answer is older than the
    /// question.
    pub(super) async fn list(&self, until: Instant) -> Result<Listed, Unwritten> {
        let params = ListParams::default().fields("spec.type=LoadBalancer");
        let request = async |client| Api::<Object>::all(client).list(&params).await;
        let patience = patience(until)?;
        let list = self.renewed.ask(patience, request).await;
        let list = list.map_err(|error| Unwritten::Refused(with_causes(&error)))?;
        let (mut listed, mut names) = (Listed::default(), Interner::default());
        for object in list.items {
            listed.add(object, &mut names);
        }
        Ok(listed)
    }

    /// Writes addresses into the status of a Service that is still what was decided about.
    pub(super) async fn write(&self, gift: &Gift, until: Instant) -> Result<(), Unwritten> {
        let ingress: Vec<_> = gift
            .addresses
            .iter()
            .map(|ip| json!({"ip": ip, "ipMode": "VIP"}))
            .collect();
        // With the version: a conflict if it has changed.
        let patch = Patch::Merge(json!({
            "metadata": {"resourceVersion": gift.version},
            "status": {"loadBalancer": {"ingress": ingress}},
        }));
        let params = PatchParams {
            field_manager: Some(MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let name = &gift.service;
        let request = async |client| {
            // Credentials may have taken their time.
            if until <= Instant::now() {
                return Ok(Err(Unwritten::TooLate));
            }
            let api: Api<Object> = Api::namespaced(client, &name.namespace);
            let patched = api.patch_status(&name.name, &params, &patch);
            match timeout_at(until.into(), patched).await {
                Ok(done) => done.map(|_| Ok(())),
                Err(_) => Ok(Err(Unwritten::Unknown("no answer".to_owned()))),
            }
        };
        match self.renewed.ask(patience(until)?, request).await {
            Ok(written) => written,
            Err(error) => refusal(&error),
        }
        .map_err(|unwritten| unwritten.about(name))
    }
}

impl Unwritten {
    fn about(self, service: &NamespacedName) -> Self {
        let text = |why| format!("status of Service {service} cannot be written: {why}");
        match self {
            Self::Refused(why) => Self::Refused(text(why)),
            Self::Unknown(why) => Self::Unknown(text(why)),
            other => other,
        }
    }
}

fn patience(until: Instant) -> Result<Duration, Unwritten> {
    let left = until.saturating_duration_since(Instant::now());
    match left.is_zero() {
        true => Err(Unwritten::TooLate),
        false => Ok(left.min(PATIENCE)),
    }
}

fn refusal(error: &AskError) -> Result<(), Unwritten> {
    let code = match error {
        AskError::Api(kube::Error::Api(status)) => Some(status.code),
        _ => None,
    };
    match code {
        // There is no such Service any more.
        Some(404) => Ok(()),
        Some(409) => Err(Unwritten::Conflict),
        Some(400..500) => Err(Unwritten::Refused(with_causes(error))),
        _ => Err(Unwritten::Unknown(with_causes(error))),
    }
}
