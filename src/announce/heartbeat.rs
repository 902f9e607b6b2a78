//! What nodes tell each other, twice a second: a name, and what they are about to do.

/// `PTLN`, and the version of what follows.
const MAGIC: &[u8] = b"PTLN\x01";
/// A node name is a DNS subdomain.
const LONGEST_NAME: usize = 253;

/// What a node does about addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It has just started and hears who is there: it answers for nothing yet.
    Listening,
    /// It answers for what is its part.
    Taking,
    /// It is about to end: others take its part at once.
    Leaving,
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// Who.
    pub node: Box<str>,
    /// What it does.
    pub state: State,
}

impl Heartbeat {
    /// As it is sent.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let state = match self.state {
            State::Listening => 0,
            State::Taking => 1,
            State::Leaving => 2,
        };
        [MAGIC, &[state], self.node.as_bytes()].concat()
    }

    /// As it was received; `None` for anything else.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (state, name) = bytes.strip_prefix(MAGIC)?.split_first()?;
        let state = match state {
            0 => State::Listening,
            1 => State::Taking,
            2 => State::Leaving,
            _ => return None,
        };
        let node = std::str::from_utf8(name).ok()?;
        let is_name = (1..=LONGEST_NAME).contains(&node.len());
        is_name.then(|| Self {
            node: node.into(),
            state,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sent_is_what_is_received_and_nothing_else_is() {
        for state in [State::Listening, State::Taking, State::Leaving] {
            let sent = Heartbeat {
                node: "n1".into(),
                state,
            };
            let bytes = sent.encode();
            assert_eq!(Heartbeat::decode(&bytes), Some(sent));
            assert_eq!(Heartbeat::decode(&bytes[..6]), None, "no name");
            for place in 0..6 {
                let mut wrong = bytes.clone();
                wrong[place] ^= 0x40;
                assert_eq!(Heartbeat::decode(&wrong), None, "{place}");
            }
        }
        assert_eq!(Heartbeat::decode(b"PTLN\x01\x01\xff"), None);
        assert_eq!(
            Heartbeat::decode(&[MAGIC, &[1], &[b'a'; 254]].concat()),
            None
        );
    }
}
