//! `resolv.conf`: the servers that this machine asks, and the domains it searches.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use hickory_proto::rr::Name;

/// DNS' port.
const PORT: u16 = 53;

/// What is in a `resolv.conf`, as far as a server needs it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResolvConf {
    /// `nameserver`.
    pub servers: Vec<SocketAddr>,
    /// `search`, or `domain`: the last of them counts.
    pub search: Vec<Name>,
}

/// A `resolv.conf` cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {}", path.display())]
pub struct ResolvError {
    path: PathBuf,
    source: io::Error,
}

impl ResolvConf {
    /// Reads a file.
    ///
    /// # Errors
    /// It cannot be read. Lines that make no sense are left out, as resolvers do.
    pub fn read(path: &Path) -> Result<Self, ResolvError> {
        let text = std::fs::read_to_string(path).map_err(|source| ResolvError {
            path: path.to_owned(),
            source,
        })?;
        Ok(Self::parse(&text))
    }

    /// Reads the text of a file.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut conf = Self::default();
        for line in text.lines() {
            let line = line.split(['#', ';']).next().unwrap_or_default();
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => {
                    let address = words.next().and_then(|word| word.parse::<IpAddr>().ok());
                    conf.servers
                        .extend(address.map(|ip| SocketAddr::new(ip, PORT)));
                }
                Some("search" | "domain") => {
                    conf.search = words.filter_map(absolute).collect();
                }
                _ => {}
            }
        }
        conf
    }
}

fn absolute(text: &str) -> Option<Name> {
    let mut name = Name::from_ascii(text).ok().filter(|name| !name.is_root())?;
    name.set_fqdn(true);
    Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_and_the_last_search_list_are_taken() {
        let conf = ResolvConf::parse(
            "# made by hand\nnameserver 192.0.2.1 # first\nnameserver nonsense\n\
             nameserver 2001:db8::1\ndomain old.example\nsearch a.example b.example\n\
             options ndots:5\n",
        );
        let servers: Vec<String> = conf.servers.iter().map(ToString::to_string).collect();
        assert_eq!(servers, ["192.0.2.1:53", "[2001:db8::1]:53"]);
        let search: Vec<String> = conf.search.iter().map(ToString::to_string).collect();
        assert_eq!(search, ["a.example.", "b.example."]);
    }
}
