//! Addresses for the load balancers of a cluster: the node that holds the Lease of the pool writes
//! them into the status of Services that have none.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Service as Object;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;
use tokio::runtime::Handle;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::News;
use crate::model::allocate::{AddressRange, give_balancers};
use crate::model::{NamespacedName, Service};
use crate::source::kubernetes::client::{AskError, Renewed};
use crate::source::with_causes;

/// How long one request may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// After a failure the Service waits for so long.
const AGAIN: Duration = Duration::from_secs(3);

type Given = (NamespacedName, Vec<IpAddr>);

/// The Services of type LoadBalancer, and what some of them were given.
pub(super) struct Giving {
    pools: Vec<AddressRange>,
    services: BTreeMap<NamespacedName, Service>,
    /// Given, and not seen in the status yet.
    pending: BTreeMap<NamespacedName, Vec<IpAddr>>,
    /// The pool is used up: told once.
    short: bool,
    writer: UnboundedSender<Given>,
}

impl Giving {
    /// Nothing is known. Status is written on `runtime`.
    pub(super) fn start(
        renewed: Arc<Renewed>,
        pools: Vec<AddressRange>,
        news: UnboundedSender<News>,
        runtime: &Handle,
    ) -> Self {
        let (writer, given) = unbounded_channel();
        runtime.spawn(write_all(renewed, given, news));
        Self {
            pools,
            services: BTreeMap::new(),
            pending: BTreeMap::new(),
            short: false,
            writer,
        }
    }

    /// These came, changed, or went.
    pub(super) fn change(&mut self, services: BTreeMap<NamespacedName, Option<Service>>) {
        for (name, service) in services {
            let written = service.as_ref().is_none_or(|s| !s.ingress.is_empty());
            if written {
                self.pending.remove(&name);
            }
            match service {
                Some(service) => self.services.insert(name, service),
                None => self.services.remove(&name),
            };
        }
    }

    /// What this one was given could not be written.
    pub(super) fn not_given(&mut self, name: &NamespacedName) {
        self.pending.remove(name);
    }

    /// The Lease of the pool is another node's.
    pub(super) fn stop(&mut self) {
        self.pending.clear();
    }

    /// Gives addresses to those that wait.
    pub(super) fn give(&mut self) {
        for (name, addresses) in give_balancers(&self.services, &self.pools, &self.pending) {
            tracing::info!(service = %name, addresses = %shown(&addresses), "giving");
            self.pending.insert(name.clone(), addresses.clone());
            // The writer ends with the runtime.
            let _ = self.writer.send((name, addresses));
        }
        let waiting = self.services.iter().filter(|(name, service)| {
            let ours = service.load_balancer_class.is_none() && service.load_balancer_ip.is_none();
            ours && service.ingress.is_empty() && !self.pending.contains_key(*name)
        });
        let waiting = waiting.count();
        if waiting > 0 && !self.short {
            tracing::warn!(
                services = waiting,
                "no address of --lb-pool is left for them"
            );
        }
        self.short = waiting > 0;
    }
}

fn shown(addresses: &[IpAddr]) -> String {
    let texts: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    texts.join(",")
}

async fn write_all(
    renewed: Arc<Renewed>,
    mut given: UnboundedReceiver<Given>,
    news: UnboundedSender<News>,
) {
    while let Some((name, addresses)) = given.recv().await {
        let Err(failure) = write(&renewed, &name, &addresses).await else {
            continue;
        };
        tracing::warn!("status of Service {name} cannot be written: {failure}");
        let news = news.clone();
        tokio::spawn(async move {
            tokio::time::sleep(AGAIN).await;
            // A thread that has ended gives nothing.
            let _ = news.send(News::NotGiven(name));
        });
    }
}

/// Writes it, unless somebody else has written something meanwhile.
async fn write(
    renewed: &Renewed,
    name: &NamespacedName,
    addresses: &[IpAddr],
) -> Result<(), String> {
    let request = async |client| {
        let api: Api<Object> = Api::namespaced(client, &name.namespace);
        let present = api.get(&name.name).await?;
        let status = present.status.and_then(|status| status.load_balancer);
        if status.is_some_and(|status| status.ingress.is_some_and(|all| !all.is_empty())) {
            return Ok(());
        }
        let ingress: Vec<_> = addresses
            .iter()
            .map(|ip| json!({"ip": ip, "ipMode": "VIP"}))
            .collect();
        // With the version: a conflict if it has changed.
        let patch = Patch::Merge(json!({
            "metadata": {"resourceVersion": present.metadata.resource_version},
            "status": {"loadBalancer": {"ingress": ingress}},
        }));
        let params = PatchParams::default();
        let patched = api.patch_status(&name.name, &params, &patch);
        patched.await.map(drop)
    };
    match renewed.ask(PATIENCE, request).await {
        // There is no such Service any more.
        Err(AskError::Api(kube::Error::Api(status))) if status.code == 404 => Ok(()),
        written => written.map_err(|error| with_causes(&error)),
    }
}
