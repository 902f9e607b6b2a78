//! The flags of the name server, for `dns` and `run` alike.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::path::PathBuf;

use anyhow::anyhow;
use hickory_proto::rr::Name;
use ipnet::IpNet;

use crate::cli::Failure;
use crate::dns::forward::ResolvConf;
use crate::dns::server::ServerOptions;
use crate::dns::service::DnsOptions;
use crate::dns::zone::{PodRecords, ReverseZones, ZoneOptions};

/// DNS' port.
pub(in crate::cli) const PORT: u16 = 53;

/// Highest rate that a client can be held to: no server here answers as many.
const MOST_QUERIES: i64 = 1_000_000;

/// What names look like, and who answers for others.
#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "DNS")]
pub(in crate::cli) struct DnsFlags {
    /// Answer DNS at this IP address and port, UDP and TCP; repeatable [default: none with run, all
    /// addresses with dns]
    #[arg(long, visible_alias = "listen", value_name = "IP[:PORT]", value_parser = address)]
    pub dns_listen: Vec<SocketAddr>,

    #[command(flatten)]
    pub zone: ZoneFlags,

    /// Server for names outside of the cluster domain; repeatable [default: those of --resolv-conf]
    #[arg(long, value_name = "IP[:PORT]", value_parser = address)]
    pub upstream: Vec<SocketAddr>,

    /// File that names the servers for other names, and what nodes add to the search of pods
    #[arg(long, value_name = "FILE", default_value = "/etc/resolv.conf")]
    pub resolv_conf: PathBuf,

    /// Refuse names outside of the cluster domain
    #[arg(long, conflicts_with = "upstream")]
    pub no_forward: bool,

    /// Who may have the whole zone (AXFR); repeatable [default: nobody]
    #[arg(long, value_name = "CIDR")]
    pub dns_transfer_to: Vec<IpNet>,

    /// Finish the search of a pod's resolver for it: one question instead of up to six
    #[arg(long)]
    pub dns_autopath: bool,

    /// Queries a second that each client (IPv4 address, IPv6 /64) may ask over UDP, 0 for any
    /// number; more are answered as truncated, for the client to ask over TCP, and beyond twice as
    /// many dropped
    #[arg(
        long,
        value_name = "N",
        default_value_t = 0,
        value_parser = clap::value_parser!(u32).range(..=MOST_QUERIES)
    )]
    pub dns_rate_limit: u32,

    /// Log each query
    #[arg(long)]
    pub dns_log_queries: bool,
}

/// What names look like.
#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "DNS")]
pub(in crate::cli) struct ZoneFlags {
    /// Domain of the cluster
    #[arg(long, value_name = "DOMAIN", default_value = "cluster.local")]
    pub cluster_domain: String,

    /// Seconds that clients may remember an answer, up to 3600
    #[arg(long, value_name = "SECONDS", default_value_t = ZoneOptions::DEFAULT_TTL)]
    pub dns_ttl: u32,

    /// Which names of pods (10-233-65-1.NAMESPACE.pod) are answered: disabled, insecure (any
    /// address), verified (pods of that namespace)
    #[arg(long, value_name = "MODE", default_value_t = PodRecords::default())]
    pub dns_pods: PodRecords,

    /// Name endpoints that have no host name by their pod, not by their address
    #[arg(long)]
    pub dns_endpoint_pod_names: bool,

    /// Answer for Services of this namespace, and for no others: those do not exist; repeatable
    /// [default: all]
    #[arg(long, value_name = "NAMESPACE")]
    pub dns_namespace: Vec<String>,

    /// A Service with a cluster IP but no ready endpoint does not exist
    #[arg(long)]
    pub dns_ignore_empty_service: bool,

    /// Answer ZONE.pin._zone.SERVICE.NAMESPACE.svc with the endpoints of a headless Service in that
    /// topology zone, and ZONE.prefer._zone.… with all where there are none
    #[arg(long)]
    pub dns_zonal: bool,

    /// Answer for addresses of this network with authority: what is not known there does not exist;
    /// repeatable [default: known addresses are answered, others are forwarded]
    #[arg(long, value_name = "CIDR")]
    pub dns_reverse: Vec<IpNet>,
}

impl ZoneFlags {
    /// The zone that is meant.
    pub(in crate::cli) fn options(&self) -> Result<ZoneOptions, Failure> {
        let zone = ZoneOptions::new(&self.cluster_domain)
            .map_err(|error| Failure::bad_input(anyhow!("--cluster-domain: {error}")))?;
        let zone = zone
            .with_ttl(self.dns_ttl)
            .map_err(|error| Failure::bad_input(anyhow!("--dns-ttl: {error}")))?;
        let reverse = if self.dns_reverse.is_empty() {
            ReverseZones::Any
        } else {
            ReverseZones::Networks(self.dns_reverse.iter().map(IpNet::trunc).collect())
        };
        Ok(ZoneOptions {
            pods: self.dns_pods,
            endpoint_pod_names: self.dns_endpoint_pod_names,
            namespaces: self.dns_namespace.iter().map(|n| (**n).into()).collect(),
            ignore_empty_service: self.dns_ignore_empty_service,
            zonal: self.dns_zonal,
            reverse,
            ..zone
        })
    }
}

impl DnsFlags {
    /// What is meant. Where nothing is listened to, nothing is read.
    pub(in crate::cli) fn options(&self) -> Result<DnsOptions, Failure> {
        Ok(DnsOptions {
            zone: self.zone.options()?,
            server: ServerOptions {
                listen: self.dns_listen.clone(),
                transfer_to: self.dns_transfer_to.clone(),
                autopath: self.autopath()?,
                rate_limit: NonZeroU32::new(self.dns_rate_limit),
                log_queries: self.dns_log_queries,
            },
            upstreams: self.upstreams()?,
        })
    }

    /// The domains that pods search after those of the cluster: kubelets add the node's.
    fn autopath(&self) -> Result<Option<Vec<Name>>, Failure> {
        if !self.dns_autopath {
            return Ok(None);
        }
        Ok(Some(self.resolv_conf()?.search))
    }

    fn resolv_conf(&self) -> Result<ResolvConf, Failure> {
        ResolvConf::read(&self.resolv_conf)
            .map_err(|error| anyhow::Error::new(error).context("--resolv-conf"))
            .map_err(Failure::bad_input)
    }

    fn upstreams(&self) -> Result<Vec<SocketAddr>, Failure> {
        if self.no_forward {
            return Ok(Vec::new());
        }
        if !self.upstream.is_empty() {
            return Ok(self.upstream.clone());
        }
        Ok(self.resolv_conf()?.servers)
    }
}

/// `IP`, or `IP:PORT`.
fn address(text: &str) -> Result<SocketAddr, String> {
    let ip = || text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, PORT));
    text.parse()
        .or_else(|_| ip())
        .map_err(|_| "not an IP address, with or without a port, such as 10.233.0.3:53".to_owned())
}
