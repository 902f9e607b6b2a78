//! Upstream's answers that may be given again. Bounded, and short: an answer is remembered for no
//! longer than half a minute, whatever its TTL.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{Name, RData, RecordType};

use super::Reply;

/// Longest time that an answer is remembered.
const LONGEST: Duration = Duration::from_secs(30);
/// Records in one answer that is remembered: longer ones are rare and would fill the memory.
const MOST_RECORDS: usize = 64;

/// Answers by name and type.
#[derive(Debug)]
pub(super) struct Cache {
    most: usize,
    entries: HashMap<(Name, RecordType), Entry>,
}

#[derive(Debug)]
struct Entry {
    reply: Reply,
    stored: Instant,
    expires: Instant,
}

impl Cache {
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            entries: HashMap::new(),
        }
    }

    /// The answer, its TTLs less by the time it was kept.
    pub(super) fn get(&mut self, name: &Name, kind: RecordType, now: Instant) -> Option<Reply> {
        let entry = self.entries.get(&(name.clone(), kind))?;
        if entry.expires <= now {
            self.entries.remove(&(name.clone(), kind));
            return None;
        }
        let age = now.saturating_duration_since(entry.stored).as_secs();
        let age = u32::try_from(age).unwrap_or(u32::MAX);
        let mut reply = entry.reply.clone();
        for record in reply.answers.iter_mut().chain(&mut reply.authorities) {
            record.decrement_ttl(age);
        }
        Some(reply)
    }

    pub(super) fn put(&mut self, name: &Name, kind: RecordType, reply: &Reply, now: Instant) {
        let records = reply.answers.len() + reply.authorities.len();
        let Some(lasts) = lasts(reply).filter(|_| records <= MOST_RECORDS) else {
            return;
        };
        if self.entries.len() >= self.most {
            self.entries.retain(|_, entry| entry.expires > now);
        }
        if self.entries.len() >= self.most {
            // All of them are young: any of them goes.
            let victim = self.entries.keys().next().cloned();
            victim.and_then(|victim| self.entries.remove(&victim));
        }
        let entry = Entry {
            reply: reply.clone(),
            stored: now,
            expires: now + lasts,
        };
        self.entries.insert((name.clone(), kind), entry);
    }
}

/// How long an answer may be remembered; `None` for not at all.
fn lasts(reply: &Reply) -> Option<Duration> {
    let is_answer = matches!(reply.code, ResponseCode::NoError | ResponseCode::NXDomain);
    if !is_answer || reply.truncated {
        return None;
    }
    let ttl = if reply.answers.is_empty() || reply.code == ResponseCode::NXDomain {
        // RFC 2308, section 5: without an SOA it is not to be remembered.
        reply
            .authorities
            .iter()
            .find_map(|record| match &record.data {
                RData::SOA(soa) => Some(record.ttl.min(soa.minimum)),
                _ => None,
            })?
    } else {
        reply.answers.iter().map(|record| record.ttl).min()?
    };
    Some(Duration::from_secs(ttl.into()).min(LONGEST)).filter(|lasts| !lasts.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_proto::rr::Record;
    use hickory_proto::rr::rdata::A;

    fn reply(ttl: u32) -> Reply {
        let record = Record::from_rdata(name(0), ttl, RData::A(A::new(192, 0, 2, 1)));
        Reply {
            code: ResponseCode::NoError,
            answers: vec![record],
            authorities: Vec::new(),
            truncated: false,
        }
    }

    fn name(number: usize) -> Name {
        Name::from_ascii(format!("n{number}.example.com.")).unwrap()
    }

    #[test]
    fn answers_age_and_go() {
        let (mut cache, start) = (Cache::new(10), Instant::now());
        cache.put(&name(0), RecordType::A, &reply(20), start);
        let later = start + Duration::from_secs(5);
        let got = cache.get(&name(0), RecordType::A, later).unwrap();
        assert_eq!(got.answers[0].ttl, 15);
        assert!(cache.get(&name(0), RecordType::AAAA, later).is_none());
        let expired = start + Duration::from_secs(20);
        assert!(cache.get(&name(0), RecordType::A, expired).is_none());
        cache.put(&name(0), RecordType::A, &reply(86_400), start);
        let long = start + LONGEST;
        assert!(cache.get(&name(0), RecordType::A, long).is_none());
    }

    #[test]
    fn what_fails_is_not_remembered_and_neither_is_more_than_fits() {
        let (mut cache, now) = (Cache::new(10), Instant::now());
        let failure = Reply {
            code: ResponseCode::ServFail,
            ..reply(20)
        };
        cache.put(&name(0), RecordType::A, &failure, now);
        cache.put(&name(1), RecordType::A, &reply(0), now);
        assert!(cache.entries.is_empty());
        for number in 0..50 {
            cache.put(&name(number), RecordType::A, &reply(20), now);
        }
        assert_eq!(cache.entries.len(), 10);
    }
}
