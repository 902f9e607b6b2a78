//! Many attempts, counted: who answered how often, and whether that is an even spread.

use std::collections::BTreeMap;
use std::fmt;

use super::dial::{Answer, Outcome};

/// Attempts by how they ended.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) answers: Vec<Answer>,
    pub(crate) refused: usize,
    pub(crate) timed_out: usize,
    pub(crate) failed: Vec<String>,
}

impl Extend<Outcome> for Tally {
    fn extend<I: IntoIterator<Item = Outcome>>(&mut self, outcomes: I) {
        for outcome in outcomes {
            match outcome {
                Outcome::Answered(answer) => self.answers.push(answer),
                Outcome::Refused => self.refused += 1,
                Outcome::TimedOut => self.timed_out += 1,
                Outcome::Failed(words) => self.failed.push(words),
            }
        }
    }
}

impl FromIterator<Outcome> for Tally {
    fn from_iter<I: IntoIterator<Item = Outcome>>(outcomes: I) -> Self {
        let mut tally = Self::default();
        tally.extend(outcomes);
        tally
    }
}

impl Tally {
    /// Answers by server.
    pub(crate) fn by_server(&self) -> BTreeMap<&str, usize> {
        let mut counts = BTreeMap::new();
        for answer in &self.answers {
            *counts.entry(answer.server.as_str()).or_default() += 1;
        }
        counts
    }

    /// Every attempt was answered.
    #[track_caller]
    pub(crate) fn assert_all_answered(&self) {
        assert!(
            self.refused == 0 && self.timed_out == 0 && self.failed.is_empty(),
            "not every connection was answered: {self}"
        );
    }

    /// Every attempt was answered, and by these servers alone.
    #[track_caller]
    pub(crate) fn assert_only(&self, servers: &[&str]) {
        self.assert_all_answered();
        let seen: Vec<_> = self.by_server().into_keys().collect();
        assert_eq!(seen, servers, "{self}");
    }

    /// Every attempt was answered, by exactly these servers, and as evenly as chance allows: see
    /// [`chi_square_bound`].
    #[track_caller]
    pub(crate) fn assert_even_over(&self, servers: &[&str]) {
        self.assert_only(servers);
        let statistic = self.chi_square(servers);
        let bound = chi_square_bound(servers.len());
        assert!(
            statistic < bound,
            "chi-square {statistic:.1} is over {bound}: {self}"
        );
    }

    /// Pearson's statistic against an even spread over the servers.
    pub(crate) fn chi_square(&self, servers: &[&str]) -> f64 {
        let counts = self.by_server();
        let count = |server| f64::from(u32::try_from(*counts.get(server).unwrap_or(&0)).unwrap());
        let total: f64 = servers.iter().map(|s| count(*s)).sum();
        let expected = total / f64::from(u32::try_from(servers.len()).unwrap());
        servers
            .iter()
            .map(|s| (count(*s) - expected).powi(2) / expected)
            .sum()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "answers {:?}", self.by_server())?;
        write!(
            f,
            ", refused {}, timed out {}",
            self.refused, self.timed_out
        )?;
        write!(f, ", failed {:?}", self.failed)
    }
}

/// The value that chi-square with `categories - 1` degrees of freedom passes once in a million
/// fair runs (the upper 1e-6 quantile), so a test suite run hourly is wrong once in a century,
/// while 300 connections over three servers still notice a server with half its share.
///
/// Beyond ten servers by Wilson and Hilferty's approximation, which is good to a percent there.
pub(crate) fn chi_square_bound(categories: usize) -> f64 {
    /// The same quantile of the normal distribution.
    const NORMAL_1E6: f64 = 4.7534;
    const UPPER_1E6: [f64; 9] = [
        23.928, 27.631, 30.665, 33.377, 35.888, 38.258, 40.522, 42.701, 44.811,
    ];
    let Some(index) = categories.checked_sub(2) else {
        return f64::INFINITY; // One server, or none: nothing to spread.
    };
    if let Some(bound) = UPPER_1E6.get(index) {
        return *bound;
    }
    let freedom = f64::from(u32::try_from(categories - 1).expect("a few thousand"));
    let ninth = 2.0 / (9.0 * freedom);
    freedom * (1.0 - ninth + NORMAL_1E6 * ninth.sqrt()).powi(3)
}
