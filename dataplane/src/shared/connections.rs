//! How many TCP connections are active at each NAT gateway, and the most in the last minute (AWS
//! "NAT gateway metrics and dimensions": `ActiveConnectionCount`).
//!
//! Over all workers: touched when a connection opens or ends, never in between.

use std::sync::{Arc, Mutex, PoisonError};

use dashmap::DashMap;

use crate::packet::NatGatewayId;
use crate::time::Period;

/// The active connections of every gateway.
#[derive(Debug, Default)]
pub struct Connections(DashMap<NatGatewayId, Arc<Active>, foldhash::fast::FixedState>);

impl Connections {
    /// Those of one gateway.
    #[must_use]
    pub fn of(&self, gateway: NatGatewayId) -> Arc<Active> {
        self.0.entry(gateway).or_default().clone()
    }
}

/// The active connections of one gateway.
#[derive(Debug, Default)]
pub struct Active(Mutex<Ring>);

#[derive(Debug, Default)]
struct Ring {
    now: u64,
    /// The last period that anything is known of.
    period: Period,
    /// The most at once in each of the last periods, by its number.
    most: [u64; Period::MINUTE],
}

impl Active {
    /// `count` more from `at` on.
    pub fn open(&self, at: Period, count: u64) {
        self.change(at, |ring| {
            ring.now += count;
            // In what lies behind it was as many more, too.
            if at < ring.period {
                at.until(ring.period).for_each(|period| ring.most[period.place()] += count);
            }
            let most = &mut ring.most[ring.period.place()];
            *most = ring.now.max(*most);
        });
    }

    /// `count` less after `at`, which may lie behind: what became due is retired when somebody looks.
    pub fn close(&self, at: Period, count: u64) {
        self.change(at, |ring| {
            ring.now = ring.now.saturating_sub(count);
            for period in at.next().until(ring.period.next()) {
                let most = &mut ring.most[period.place()];
                *most = most.saturating_sub(count);
            }
        });
    }

    /// The most at once in the minute that ends with `period`.
    #[must_use]
    pub fn most(&self, period: Period) -> u64 {
        self.change(period, |ring| ring.most.into_iter().max().unwrap_or(0))
    }

    fn change<T>(&self, at: Period, change: impl FnOnce(&mut Ring) -> T) -> T {
        let mut ring = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if ring.period < at {
            for period in ring.period.next().until(at.next()) {
                ring.most[period.place()] = ring.now;
            }
            ring.period = at;
        }
        change(&mut ring)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn at(seconds: u64) -> Period {
        Period::of(Duration::from_secs(seconds))
    }

    #[test]
    fn the_most_of_a_minute_is_that_of_its_periods() {
        let active = Active::default();
        active.open(at(5), 1);
        active.open(at(6), 1);
        active.close(at(7), 1);
        assert_eq!(active.most(at(8)), 2);
        assert_eq!(active.most(at(59)), 2, "the period of the two is the first of six");
        assert_eq!(active.most(at(60)), 1, "one goes on");
        active.close(at(95), 1);
        assert_eq!(active.most(at(149)), 1);
        assert_eq!(active.most(at(150)), 0);
        assert_eq!(active.most(at(1_000_000)), 0);
    }

    #[test]
    fn what_ended_before_it_was_noticed_counts_until_then() {
        let active = Active::default();
        active.open(at(0), 1);
        active.open(at(0), 1);
        active.close(at(0), 1);
        // Noticed at 700 s, when another opens: it was active until 655 s.
        assert_eq!(active.most(at(700)), 1);
        active.close(at(655), 1);
        active.open(at(700), 1);
        assert_eq!(active.most(at(700)), 1);
        active.close(at(701), 1);
        assert_eq!(active.most(at(715)), 1);
        assert_eq!(active.most(at(760)), 0);
    }

    #[test]
    fn what_ended_long_ago_leaves_nothing() {
        let active = Active::default();
        active.open(at(0), 1);
        assert_eq!(active.most(at(10_000)), 1);
        active.close(at(350), 1);
        assert_eq!(active.most(at(10_000)), 0);
    }
}
