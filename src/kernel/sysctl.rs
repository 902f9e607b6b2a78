//! Kernel settings under `/proc/sys`, as the network namespace of the calling thread sees them.
//!
//! A setting is written only if it differs. Must not know which settings portolan wants.

use std::fs;
use std::io;
use std::path::PathBuf;

/// Where the settings are.
const ROOT: &str = "/proc/sys";

/// A setting could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum SysctlError {
    /// The kernel has no such setting, or its module is not loaded.
    #[error("sysctl {name} does not exist in this kernel")]
    Missing {
        /// The setting, with slashes.
        name: String,
    },
    /// It cannot be read.
    #[error("cannot read sysctl {name}")]
    Read {
        /// The setting.
        name: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It cannot be written.
    #[error("cannot set sysctl {name} to {value}")]
    Write {
        /// The setting.
        name: String,
        /// The value.
        value: i64,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It does not hold a number.
    #[error("sysctl {name} holds {text:?}, not a number")]
    NotANumber {
        /// The setting.
        name: String,
        /// What it holds.
        text: String,
    },
}

/// Reads a numeric setting, named with slashes: `net/ipv4/conf/all/route_localnet`.
///
/// # Errors
/// See [`SysctlError`].
pub fn get(name: &str) -> Result<i64, SysctlError> {
    let text = fs::read_to_string(path(name)).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => SysctlError::Missing {
            name: name.to_owned(),
        },
        _ => SysctlError::Read {
            name: name.to_owned(),
            source,
        },
    })?;
    let text = text.trim();
    text.parse().map_err(|_| SysctlError::NotANumber {
        name: name.to_owned(),
        text: text.to_owned(),
    })
}

/// Sets a numeric setting if it has another value, and says whether it had.
///
/// # Errors
/// See [`SysctlError`].
pub fn set(name: &str, value: i64) -> Result<bool, SysctlError> {
    if get(name)? == value {
        return Ok(false);
    }
    fs::write(path(name), value.to_string()).map_err(|source| SysctlError::Write {
        name: name.to_owned(),
        value,
        source,
    })?;
    Ok(true)
}

fn path(name: &str) -> PathBuf {
    PathBuf::from(ROOT).join(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_read() {
        assert!(get("kernel/pid_max").unwrap() > 0);
    }

    #[test]
    fn a_missing_setting_and_a_text_are_told_by_name() {
        assert_eq!(
            get("net/no/such").unwrap_err().to_string(),
            "sysctl net/no/such does not exist in this kernel"
        );
        let error = get("kernel/ostype").unwrap_err();
        assert_eq!(
            error.to_string(),
            "sysctl kernel/ostype holds \"Linux\", not a number"
        );
    }

    #[test]
    fn an_equal_value_is_not_written() {
        let now = get("kernel/pid_max").unwrap();
        assert!(!set("kernel/pid_max", now).unwrap());
    }
}
