//! Asks the API server what there is, anew for each connection: a Pod that is chosen is ready then.

use std::collections::HashSet;
use std::fmt::Debug;

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::api::ListParams;
use kube::core::{NamespaceResourceScope, ParseExpressionError, Selector};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;

use super::super::resolve::{Asked, ResolveError, Way};
use super::super::target::{PortSpec, Target};
use crate::model::{self, WorkloadKind};
use crate::source::api::convert::{self, Interner};
use crate::source::api::{SERVICE_NAME_LABEL, defaults};
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

/// A port of a Pod.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) pod: String,
    pub(super) port: u16,
}

impl Place {
    fn new(pod: &str, port: u16) -> Self {
        Self {
            pod: pod.to_owned(),
            port,
        }
    }
}

impl Lookup {
    /// The way to a port as it is now.
    pub(super) async fn way(&self, spec: &PortSpec) -> Result<Way<Place>, LookupError> {
        let client = self.access.client().await;
        let asked = Asked {
            target: &self.target,
            spec,
        };
        match &self.target {
            Target::Service(name) => {
                let service: Service = self.get(&client, name).await?;
                let labels = format!("{SERVICE_NAME_LABEL}={name}");
                let slices: Vec<EndpointSlice> = self.list(&client, &labels).await?;
                let (service, slices) = converted(service, slices);
                // An endpoint that is no Pod is not reached through a kubelet.
                Ok(asked.of_service(&service, &slices, |endpoint, port| {
                    Some(Place::new(endpoint.pod.as_deref()?, port))
                })?)
            }
            Target::Pod(name) => {
                let pods = Pods::new(vec![self.get(&client, name).await?]);
                Ok(asked.of_pods(&pods.all(), |pod, port| pods.place(pod, port))?)
            }
            Target::Workload(kind, name) => {
                let (selector, template) = self.selector(&client, *kind, name).await?;
                let selector =
                    Selector::try_from(selector).map_err(|source| LookupError::Selector {
                        target: self.target.clone(),
                        source: Box::new(source),
                    })?;
                let pods = Pods::new(self.list(&client, &selector.to_string()).await?);
                let template = convert::pod(template, &mut Interner::default());
                Ok(asked.of_workload(&pods.all(), &template, |pod, port| pods.place(pod, port))?)
            }
        }
    }

    /// The selector of a workload's Pods, and what they are made from.
    async fn selector(
        &self,
        client: &Client,
        kind: WorkloadKind,
        name: &str,
    ) -> Result<(LabelSelector, Pod), LookupError> {
        let found = match kind {
            WorkloadKind::Deployment => {
                let object: Deployment = self.get(client, name).await?;
                object.spec.map(|spec| (spec.selector, spec.template))
            }
            WorkloadKind::StatefulSet => {
                let object: StatefulSet = self.get(client, name).await?;
                object.spec.map(|spec| (spec.selector, spec.template))
            }
            WorkloadKind::DaemonSet => {
                let object: DaemonSet = self.get(client, name).await?;
                object.spec.map(|spec| (spec.selector, spec.template))
            }
            WorkloadKind::ReplicaSet => {
                let object: ReplicaSet = self.get(client, name).await?;
                let spec = object.spec;
                spec.map(|spec| (spec.selector, spec.template.unwrap_or_default()))
            }
            // `pod/NAME` is no workload.
            WorkloadKind::Pod => None,
        };
        let (selector, template) = found.ok_or_else(|| self.missing())?;
        let template = Pod {
            metadata: template.metadata.unwrap_or_default(),
            spec: template.spec,
            status: None,
        };
        Ok((selector, template))
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

/// Pods of the API in the model's form.
struct Pods {
    pods: Vec<model::Pod>,
    /// Names of those that a kubelet runs.
    running: HashSet<String>,
}

impl Pods {
    fn new(pods: Vec<Pod>) -> Self {
        let running = pods.iter().filter(|pod| {
            let status = pod.status.as_ref();
            status.and_then(|status| status.phase.as_deref()) == Some("Running")
        });
        let running = running
            .filter_map(|pod| pod.metadata.name.clone())
            .collect();
        let mut names = Interner::default();
        let convert = |pod| convert::pod(pod, &mut names);
        Self {
            pods: pods.into_iter().map(convert).collect(),
            running,
        }
    }

    fn all(&self) -> Vec<&model::Pod> {
        self.pods.iter().collect()
    }

    fn place(&self, pod: &model::Pod, port: u16) -> Option<Place> {
        let name = &*pod.name.name;
        self.running.contains(name).then(|| Place::new(name, port))
    }
}

/// A Service and its slices in the model's form.
fn converted(
    mut service: Service,
    slices: Vec<EndpointSlice>,
) -> (model::Service, Vec<model::EndpointSlice>) {
    let mut names = Interner::default();
    defaults::service(&mut service);
    let service = convert::service(service, &mut names);
    let slices = slices.into_iter().filter_map(|mut slice| {
        defaults::endpoint_slice(&mut slice);
        // Slices of names have no Pods.
        convert::endpoint_slice(slice, &mut names).ok()
    });
    let slices = slices.collect();
    (service, slices)
}
