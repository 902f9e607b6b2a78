//! A real API server that is filled with the cluster: `KUBECONFIG`.
//!
//! Owns what is put there and taken away again, and the way to it from the network namespaces of
//! the cases: connections are carried out of them.

use std::io;
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::thread;

use anyhow::{Context, bail};
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::core::v1::{Namespace, Node, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde::Deserialize;

use crate::cluster::Cluster;
use crate::manifests::State;
use crate::namespace;

/// Where the Services are put.
const NAMESPACE: &str = "bench";
/// Requests at once.
const AT_ONCE: usize = 32;
/// Who it is that wrote the objects.
const MANAGER: &str = "portolan-bench";

/// An API server, as the user's kubeconfig has it.
pub(crate) struct ApiServer {
    kubeconfig: Kubeconfig,
    /// `host:port`
    address: String,
    host: String,
}

impl ApiServer {
    pub(crate) fn of(path: &Path) -> anyhow::Result<Self> {
        let mut kubeconfig = Kubeconfig::read_from(path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        let url = current(&mut kubeconfig)?.server.as_deref();
        let url: http::Uri = url
            .context("the cluster has no server")?
            .parse()
            .context("the server is not a URL")?;
        let host = url.host().context("the server is not a URL")?.to_owned();
        let port = url.port_u16();
        let port = port.unwrap_or(if url.scheme_str() == Some("http") {
            80
        } else {
            443
        });
        Ok(Self {
            kubeconfig,
            address: format!("{host}:{port}"),
            host: host.trim_matches(['[', ']']).to_owned(),
        })
    }

    /// A kubeconfig for programs in this thread's network namespace, from where their connections
    /// are carried on.
    pub(crate) fn kubeconfig_here(&self) -> anyhow::Result<String> {
        let port = relay(self.address.clone())?;
        let mut kubeconfig = self.kubeconfig.clone();
        let cluster = current(&mut kubeconfig)?;
        let plain = cluster
            .server
            .as_deref()
            .is_some_and(|url| url.starts_with("http:"));
        let scheme = if plain { "http" } else { "https" };
        cluster.server = Some(format!("{scheme}://127.0.0.1:{port}"));
        if !plain && cluster.tls_server_name.is_none() {
            cluster.tls_server_name = Some(self.host.clone());
        }
        Ok(serde_yaml::to_string(&kubeconfig)?)
    }

    /// Puts the cluster into the API server.
    pub(crate) fn fill(&self, cluster: &Cluster) -> anyhow::Result<Filled<'_>> {
        let filled = Filled { server: self };
        let mut text = Vec::new();
        cluster.shape.write(State::Base, &mut text)?;
        filled.put(format!(
            "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {NAMESPACE}\n"
        ))?;
        filled.put(String::from_utf8(text)?)?;
        Ok(filled)
    }

    /// Asks it something, from the network namespace this program was started in.
    fn ask<T, W>(&self, work: impl FnOnce(Client) -> W + Send + 'static) -> anyhow::Result<T>
    where
        T: Send + 'static,
        W: Future<Output = anyhow::Result<T>>,
    {
        let kubeconfig = self.kubeconfig.clone();
        namespace::at_home(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime.block_on(async {
                let options = KubeConfigOptions::default();
                let config = Config::from_custom_kubeconfig(kubeconfig, &options).await?;
                work(Client::try_from(config)?).await
            })
        })?
    }
}

/// The cluster of the current context.
fn current(kubeconfig: &mut Kubeconfig) -> anyhow::Result<&mut kube::config::Cluster> {
    let contexts = kubeconfig.contexts.iter();
    let mut named =
        contexts.filter(|named| Some(&named.name) == kubeconfig.current_context.as_ref());
    let context = named.next().and_then(|named| named.context.as_ref());
    let name = context
        .context("the kubeconfig has no current context")?
        .cluster
        .clone();
    let mut clusters = kubeconfig.clusters.iter_mut();
    clusters
        .find(|named| named.name == name)
        .and_then(|named| named.cluster.as_mut())
        .with_context(|| format!("the kubeconfig has no cluster {name}"))
}

/// The Services in the API server. Removed when dropped.
pub(crate) struct Filled<'a> {
    server: &'a ApiServer,
}

impl Filled<'_> {
    /// Puts the objects of these YAML documents there, as they stand.
    pub(crate) fn put(&self, documents: String) -> anyhow::Result<()> {
        self.server.ask(|client| async move {
            let objects = serde_yaml::Deserializer::from_str(&documents)
                .map(DynamicObject::deserialize)
                .collect::<Result<Vec<_>, _>>()?;
            stream::iter(objects)
                .map(|object| apply(&client, object))
                .buffer_unordered(AT_ONCE)
                .try_collect::<()>()
                .await
        })
    }
}

async fn apply(client: &Client, object: DynamicObject) -> anyhow::Result<()> {
    let kind = object
        .types
        .as_ref()
        .map_or("", |types| &types.kind)
        .to_owned();
    let name = object.metadata.name.clone().unwrap_or_default();
    let (kind_there, namespaced) = match kind.as_str() {
        "Namespace" => (ApiResource::erase::<Namespace>(&()), false),
        "Node" => (ApiResource::erase::<Node>(&()), false),
        "Service" => (ApiResource::erase::<Service>(&()), true),
        "EndpointSlice" => (ApiResource::erase::<EndpointSlice>(&()), true),
        other => bail!("{other}: not a kind that is measured"),
    };
    let api: Api<DynamicObject> = if namespaced {
        Api::namespaced_with(client.clone(), NAMESPACE, &kind_there)
    } else {
        Api::all_with(client.clone(), &kind_there)
    };
    let how = PatchParams::apply(MANAGER).force();
    let failed = || format!("cannot apply {kind} {name}");
    api.patch(&name, &how, &Patch::Apply(&object))
        .await
        .with_context(failed)?;
    // kube-proxy waits up to 30 s for an address of its node, which a server takes apart.
    if kind == "Node" {
        api.patch_status(&name, &how, &Patch::Apply(&object))
            .await
            .with_context(failed)?;
    }
    Ok(())
}

impl Drop for Filled<'_> {
    fn drop(&mut self) {
        let emptied = self.server.ask(|client| async move {
            let (how, all) = (DeleteParams::default(), ListParams::default());
            let services: Api<Service> = Api::namespaced(client.clone(), NAMESPACE);
            services.delete_collection(&how, &all).await?;
            let slices: Api<EndpointSlice> = Api::namespaced(client.clone(), NAMESPACE);
            slices.delete_collection(&how, &all).await?;
            let nodes: Api<Node> = Api::all(client.clone());
            nodes.delete("n0", &how).await?;
            let namespaces: Api<Namespace> = Api::all(client);
            namespaces.delete(NAMESPACE, &how).await?;
            Ok(())
        });
        if let Err(error) = emptied {
            eprintln!("the API server still holds namespace {NAMESPACE} and Node n0: {error:#}");
        }
    }
}

/// Listens in this network namespace and connects to `address` from the one this program was
/// started in; gives the port. Ends with the program.
fn relay(address: String) -> anyhow::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let port = listener.local_addr()?.port();
    namespace::spawn_at_home(move || {
        while let Ok((inner, _)) = listener.accept() {
            if let Ok(outer) = TcpStream::connect(&address) {
                // A connection that cannot be carried is one that ends.
                let _ = carry(inner, outer);
            }
        }
    })?;
    Ok(port)
}

fn carry(inner: TcpStream, outer: TcpStream) -> io::Result<()> {
    let (mut in_read, mut out_read) = (inner.try_clone()?, outer.try_clone()?);
    let (mut in_write, mut out_write) = (inner, outer);
    thread::spawn(move || {
        let _ = io::copy(&mut in_read, &mut out_write);
        let _ = out_write.shutdown(Shutdown::Both);
    });
    thread::spawn(move || {
        let _ = io::copy(&mut out_read, &mut in_write);
        let _ = in_write.shutdown(Shutdown::Both);
    });
    Ok(())
}
