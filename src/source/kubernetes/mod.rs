//! The Kubernetes API as a source: Services, EndpointSlices, the own Node and ServiceCIDRs, listed
//! and watched.
//!
//! * [`client`]: how the server is reached, and as whom
//! * `follow`, `session`, `request`, `backoff`, `reach`: one list and watch for each resource, and what is
//!   done when they fail
//! * `wire`: what of an object is kept
//! * [`live`]: what that changes in the snapshot
//! * `events`: Events on the own Node
//! * [`vital`]: is a watch alive
//!
//! Followers run on the runtime's threads, decode and send; [`live::LiveCluster`] lives in the
//! loop. Must not know rules, nor when they are made.

mod backoff;
pub mod client;
mod events;
mod follow;
mod lines;
pub mod live;
mod reach;
mod request;
mod resource;
mod session;
mod update;
pub mod vital;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

pub use client::{AccessError, ApiAccess};
pub use events::{Announcement, Announcer};
pub use follow::Sink;
pub use resource::{Resource, Selection};
pub use update::{Batch, Update};
pub use wire::Object;

use client::Renewed;
use follow::{Follower, Shared};
use reach::Reach;
use vital::Vital;

/// What is watched, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KubernetesOptions {
    /// The server, and who asks.
    pub access: ApiAccess,
    /// A watch that is silent for longer is opened again. Longer than the minute after which the
    /// API server sends a bookmark at the latest.
    pub silence: Duration,
    /// A watch that stays silent for longer although the server answers makes `/livez` fail.
    pub stuck: Duration,
}

/// Watches that run. They end when the sink says so.
#[derive(Debug)]
pub struct Watches {
    relist: watch::Sender<u64>,
    announcer: Announcer,
}

impl Watches {
    /// Starts watching, on the runtime that this is called on. What comes goes to the sink.
    ///
    /// # Errors
    /// The server is not known, or the credentials cannot be used. That it cannot be reached is no
    /// error: it is tried until it can.
    pub async fn start(
        options: &KubernetesOptions,
        selection: Selection,
        vital: Vital,
        sink: Sink,
    ) -> Result<Self, AccessError> {
        let config = options.access.configuration().await?;
        tracing::info!(server = %config.cluster_url, "watching the Kubernetes API");
        let shared = Arc::new(Shared {
            renewed: Renewed::new(options.access.clone()).await?,
            reach: Reach::new(&config, vital.clone()),
            selection,
            vital,
            sink,
            room: update::room(),
            silence: options.silence,
        });
        let (relist, asked) = watch::channel(0);
        for resource in Resource::ALL {
            let follower = Follower::new(Arc::clone(&shared), resource, asked.clone());
            tokio::spawn(follower.run());
        }
        let announcer = Announcer::start(shared);
        Ok(Self { relist, announcer })
    }

    /// Events on the own Node.
    #[must_use]
    pub fn announcer(&self) -> &Announcer {
        &self.announcer
    }

    /// Lists everything again.
    pub fn relist(&self) {
        self.relist.send_modify(|count| *count += 1);
    }
}
