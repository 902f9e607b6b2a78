//! Asks the API server what there is, anew for each connection: a Pod that is chosen is ready then.

use std::fmt::Debug;

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::api::ListParams;
use kube::core::{NamespaceResourceScope, ParseExpressionError, Selector};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;

use super::super::resolve::ResolveError;
use super::super::target::{PortSpec, Target};
use super::choose::{Way, of_pods, of_service};
use crate::model::WorkloadKind;
use crate::source::kubernetes::client::Renewed;

/// What was asked for was not learned.
#[derive(Debug, thiserror::Error)]
pub(super) enum LookupError {
    /// The API server was not reached, or said no.
    #[error("cannot look up {target} in namespace {namespace}: {}", words(source))]
    Api {
        target: Target,
        namespace: String,
        source: Box<kube::Error>,
    },
    /// There is no such thing.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// A selector that no API server would have taken.
    #[error("the selector of {target} is not understood")]
    Selector {
        target: Target,
        source: Box<ParseExpressionError>,
    },
}

impl LookupError {
    /// What was found the last time may be there still.
    pub(super) fn may_pass(&self) -> bool {
        matches!(self, Self::Api { .. })
    }
}

/// The server's own words where there are some.
fn words(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if !status.message.is_empty() => status.message.clone(),
        other => crate::source::with_causes(other),
    }
}

/// What is forwarded to, and who is asked for it.
pub(super) struct Lookup {
    pub(super) access: Renewed,
    pub(super) namespace: String,
    pub(super) target: Target,
}

impl Lookup {
    /// The way to a port as it is now.
    pub(super) async fn way(&self, spec: &PortSpec) -> Result<Way, LookupError> {
        let client = self.access.client().await;
        match &self.target {
            Target::Service(name) => {
                let service: Service = self.get(&client, name).await?;
                let labels = format!("kubernetes.io/service-name={name}");
                let slices: Vec<EndpointSlice> = self.list(&client, &labels).await?;
                Ok(of_service(&service, &slices, &self.target, spec)?)
            }
            Target::Pod(name) => {
                let pod: Pod = self.get(&client, name).await?;
                Ok(of_pods(&[pod], &self.target, spec)?)
            }
            Target::Workload(kind, name) => {
                let selector = self.selector(&client, *kind, name).await?;
                let selector =
                    Selector::try_from(selector).map_err(|source| LookupError::Selector {
                        target: self.target.clone(),
                        source: Box::new(source),
                    })?;
                let pods: Vec<Pod> = self.list(&client, &selector.to_string()).await?;
                Ok(of_pods(&pods, &self.target, spec)?)
            }
        }
    }

    /// The selector of a workload's Pods.
    async fn selector(
        &self,
        client: &Client,
        kind: WorkloadKind,
        name: &str,
    ) -> Result<LabelSelector, LookupError> {
        let selector = match kind {
            WorkloadKind::Deployment => {
                let object: Deployment = self.get(client, name).await?;
                object.spec.map(|spec| spec.selector)
            }
            WorkloadKind::StatefulSet => {
                let object: StatefulSet = self.get(client, name).await?;
                object.spec.map(|spec| spec.selector)
            }
            WorkloadKind::DaemonSet => {
                let object: DaemonSet = self.get(client, name).await?;
                object.spec.map(|spec| spec.selector)
            }
            WorkloadKind::ReplicaSet => {
                let object: ReplicaSet = self.get(client, name).await?;
                object.spec.map(|spec| spec.selector)
            }
            // `pod/NAME` is no workload.
            WorkloadKind::Pod => None,
        };
        selector.ok_or_else(|| self.missing().into())
    }

    async fn get<K>(&self, client: &Client, name: &str) -> Result<K, LookupError>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + DeserializeOwned
            + Debug,
    {
        let api: Api<K> = Api::namespaced(client.clone(), &self.namespace);
        match api.get(name).await {
            Err(kube::Error::Api(status)) if status.code == 404 => Err(self.missing().into()),
            found => found.map_err(|source| self.failed(source)),
        }
    }

    async fn list<K>(&self, client: &Client, labels: &str) -> Result<Vec<K>, LookupError>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + DeserializeOwned
            + Debug,
    {
        let api: Api<K> = Api::namespaced(client.clone(), &self.namespace);
        let list = api.list(&ListParams::default().labels(labels)).await;
        Ok(list.map_err(|source| self.failed(source))?.items)
    }

    fn missing(&self) -> ResolveError {
        ResolveError::NoTarget {
            target: self.target.clone(),
            namespace: self.namespace.clone(),
        }
    }

    fn failed(&self, source: kube::Error) -> LookupError {
        self.access.heed(&source);
        LookupError::Api {
            target: self.target.clone(),
            namespace: self.namespace.clone(),
            source: Box::new(source),
        }
    }
}
