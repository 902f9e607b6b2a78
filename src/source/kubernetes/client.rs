//! Access to the API server: from a kubeconfig, from a plain address, or as a Pod has it.
//!
//! kube-rs does the work: TLS, client certificates, tokens (files are read again as they are
//! rotated), exec plugins. Owns what it leaves open: which configuration is meant, and making a
//! client anew when credentials end or the server no longer accepts them.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::Uri;
use jiff::Timestamp;
use kube::config::{InClusterError, KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};
use tokio::time::timeout;

/// How long a connection to the server may take. kube-rs would wait for half a minute, which is
/// longer than a server needs to come back.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Credentials that are refused are not read again more often than this.
const RENEWAL: Duration = Duration::from_secs(5);

/// Where the API server is and who asks it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApiAccess {
    /// `--kubeconfig`: its current context counts.
    pub kubeconfig: Option<PathBuf>,
    /// `--master`: address of the server, in place of the kubeconfig's.
    pub master: Option<String>,
}

/// The API server cannot be asked: what is known about it is not enough, or wrong.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// The file cannot be read, or does not say what is needed.
    #[error("--kubeconfig {}", path.display())]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<KubeconfigError>,
    },
    /// Not an address.
    #[error("--master: \"{text}\" is not an address such as https://192.0.2.1:6443")]
    Master {
        /// What was given.
        text: String,
    },
    /// Neither file nor address was given, and this is no Pod.
    #[error(
        "no API server is known: give --kubeconfig or --master, or run as a Pod with a service account"
    )]
    InCluster(#[source] Box<InClusterError>),
    /// Certificates, keys or an exec plugin cannot be used.
    #[error("the credentials for the API server cannot be used")]
    Credentials(#[source] Box<kube::Error>),
}

impl ApiAccess {
    /// What kube-rs is to be configured with. Reads files, asks nobody.
    ///
    /// # Errors
    /// See [`AccessError`].
    pub async fn configuration(&self) -> Result<Config, AccessError> {
        let mut config = match (&self.kubeconfig, &self.master) {
            (Some(path), _) => kubeconfig(path).await?,
            (None, Some(master)) => Config::new(uri(master)?),
            (None, None) => {
                Config::incluster().map_err(|error| AccessError::InCluster(Box::new(error)))?
            }
        };
        if let Some(master) = &self.master {
            config.cluster_url = uri(master)?;
        }
        config.connect_timeout = Some(CONNECT_TIMEOUT);
        // Who watches knows better when to try again.
        config.default_retry = false;
        Ok(config)
    }

    /// A client. To be called on a runtime, whose threads it uses.
    ///
    /// # Errors
    /// See [`AccessError`].
    pub async fn client(&self) -> Result<Client, AccessError> {
        let config = self.configuration().await?;
        Client::try_from(config).map_err(|error| AccessError::Credentials(Box::new(error)))
    }
}

async fn kubeconfig(path: &Path) -> Result<Config, AccessError> {
    let wrong = |source| AccessError::Kubeconfig {
        path: path.to_owned(),
        source: Box::new(source),
    };
    let file = Kubeconfig::read_from(path).map_err(wrong)?;
    let options = KubeConfigOptions::default();
    let config = Config::from_custom_kubeconfig(file, &options).await;
    config.map_err(wrong)
}

fn uri(text: &str) -> Result<Uri, AccessError> {
    let full = if text.contains("://") {
        text.to_owned()
    } else {
        format!("http://{text}")
    };
    let uri: Option<Uri> = full.parse().ok();
    let uri = uri.filter(|uri| uri.host().is_some_and(|host| !host.is_empty()));
    uri.ok_or_else(|| AccessError::Master {
        text: text.to_owned(),
    })
}

/// A request that came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The server said no, or was not reached.
    #[error(transparent)]
    Api(#[from] kube::Error),
    /// It took too long.
    #[error("no answer")]
    NoAnswer,
}

/// A client that is made anew when its credentials end or are refused, or its connections die.
#[derive(Debug)]
pub struct Renewed {
    access: ApiAccess,
    state: Mutex<State>,
}

#[derive(Clone)]
struct State {
    client: Client,
    made: Instant,
    refused: bool,
    /// A connection of it is dead without either end knowing; others may be, too.
    dead: bool,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").finish_non_exhaustive()
    }
}

impl Renewed {
    /// A client for this access.
    ///
    /// # Errors
    /// See [`AccessError`].
    pub async fn new(access: ApiAccess) -> Result<Self, AccessError> {
        let client = access.client().await?;
        let state = State {
            client,
            made: Instant::now(),
            refused: false,
            dead: false,
        };
        Ok(Self {
            access,
            state: Mutex::new(state),
        })
    }

    /// The client to use for the next request.
    pub async fn client(&self) -> Client {
        let state = self.lock().clone();
        let ended = state.client.valid_until();
        let ended = ended.is_some_and(|end| end <= Timestamp::now());
        let unusable = (ended || state.refused) && state.made.elapsed() >= RENEWAL;
        if !unusable && !state.dead {
            return state.client;
        }
        match self.access.client().await {
            Ok(client) => {
                tracing::debug!("a new client for the API server");
                *self.lock() = State {
                    client: client.clone(),
                    made: Instant::now(),
                    refused: false,
                    dead: false,
                };
                client
            }
            Err(error) => {
                tracing::warn!("{}", crate::source::with_causes(&error));
                let mut state = self.lock();
                (state.made, state.dead) = (Instant::now(), false);
                state.client.clone()
            }
        }
    }

    /// Makes a request, and takes note if it says that the client is of no more use.
    ///
    /// # Errors
    /// See [`AskError`].
    pub async fn ask<T, F>(
        &self,
        patience: Duration,
        request: impl FnOnce(Client) -> F,
    ) -> Result<T, AskError>
    where
        F: Future<Output = Result<T, kube::Error>>,
    {
        let began = Instant::now();
        let client = self.client().await;
        match timeout(patience, request(client)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => {
                self.heed(&error);
                Err(error.into())
            }
            Err(_) => {
                self.silent(began);
                Err(AskError::NoAnswer)
            }
        }
    }

    /// This came of a request: the credentials may have been refused.
    pub fn heed(&self, error: &kube::Error) {
        if matches!(error, kube::Error::Api(status) if status.code == 401) {
            self.refused();
        }
    }

    /// The server refused the credentials (401): they may have been replaced on disk.
    pub fn refused(&self) {
        self.lock().refused = true;
    }

    /// A request begun at this time got no answer, or no more of it. The connections that this
    /// client keeps for later requests are not to be trusted: each would cost the same wait again.
    pub fn silent(&self, since: Instant) {
        let mut state = self.lock();
        state.dead |= state.made <= since;
    }

    /// The state is whole whatever happened to those who held it.
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_master_may_leave_out_the_scheme_but_not_the_host() {
        let shown = |text| uri(text).map(|uri| uri.to_string()).ok();
        assert_eq!(
            shown("127.0.0.1:8080").as_deref(),
            Some("http://127.0.0.1:8080/")
        );
        assert_eq!(
            shown("https://[fd00::1]:6443").as_deref(),
            Some("https://[fd00::1]:6443/")
        );
        for wrong in ["", "https://", "a b"] {
            assert!(shown(wrong).is_none(), "{wrong}");
        }
    }
}
