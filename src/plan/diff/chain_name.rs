//! Chain names in little memory.

use std::borrow::Borrow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;

/// What fits into a name without memory of its own. iptables' names have at most 28 bytes.
const SHORT: usize = 30;

/// The name of a chain: 32 bytes, and nothing behind them unless the name is longer than iptables
/// can make one. There are two for every chain of a large cluster.
#[derive(Clone)]
pub struct ChainName(Repr);

#[derive(Clone)]
enum Repr {
    Short { len: u8, bytes: [u8; SHORT] },
    Long(Box<str>),
}

impl From<&str> for ChainName {
    fn from(name: &str) -> Self {
        let mut bytes = [0; SHORT];
        match (u8::try_from(name.len()), bytes.get_mut(..name.len())) {
            (Ok(len), Some(place)) => {
                place.copy_from_slice(name.as_bytes());
                Self(Repr::Short { len, bytes })
            }
            _ => Self(Repr::Long(name.into())),
        }
    }
}

impl Deref for ChainName {
    type Target = str;

    fn deref(&self) -> &str {
        match &self.0 {
            Repr::Short { len, bytes } => {
                let bytes = bytes.get(..usize::from(*len)).unwrap_or_default();
                // The bytes were a text when they came in.
                std::str::from_utf8(bytes).unwrap_or_default()
            }
            Repr::Long(name) => name,
        }
    }
}

/// As `str`, so that maps by name can be asked with one.
impl Borrow<str> for ChainName {
    fn borrow(&self) -> &str {
        self
    }
}

impl Hash for ChainName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.deref().hash(state);
    }
}

impl PartialEq for ChainName {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for ChainName {}

impl fmt::Debug for ChainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn names_of_any_length_are_found_again() {
        assert_eq!(size_of::<ChainName>(), 32);
        let names: Vec<String> = (0..128)
            .map(|len| "é".repeat(len / 2) + &"x".repeat(len % 2))
            .collect();
        let map: HashMap<ChainName, usize> = names
            .iter()
            .enumerate()
            .map(|(at, name)| (name.as_str().into(), at))
            .collect();
        for (at, name) in names.iter().enumerate() {
            assert_eq!(map.get(name.as_str()), Some(&at));
            assert_eq!(&*ChainName::from(name.as_str()), name);
        }
    }
}
