//! How long does a worker look for packets before it sleeps?
//!
//! To be woken takes some 50 µs on an idle machine, several times what a packet takes. So a worker goes
//! on looking for a while after the last packet: for as long as that has paid lately, and hardly at all
//! where it has not, as Linux's `haltpoll` governor has it. An idle worker sleeps.

use std::time::{Duration, Instant};

/// What a worker has learned of the pauses between packets.
#[derive(Debug)]
pub(super) struct Patience {
    /// How long it looks.
    spin: Duration,
    /// When the present pause began.
    pause: Option<Instant>,
}

/// It always looks for so long: a packet seldom comes alone.
const SHORTEST: Duration = Duration::from_micros(5);

/// It never looks for longer: the time between a request and its answer on one machine, several times
/// over.
const LONGEST: Duration = Duration::from_micros(200);

impl Patience {
    pub(super) const fn new() -> Self {
        Self { spin: SHORTEST, pause: None }
    }

    /// There were packets.
    pub(super) fn reward(&mut self, now: Instant) {
        let Some(pause) = self.pause.take() else { return };
        let pause = now.saturating_duration_since(pause);
        self.spin = if pause <= LONGEST { self.spin.max(2 * pause) } else { self.spin / 2 }
            .clamp(SHORTEST, LONGEST);
    }

    /// There were none; whether to look again at once.
    pub(super) fn goes_on(&mut self, now: Instant) -> bool {
        let pause = *self.pause.get_or_insert(now);
        now.saturating_duration_since(pause) < self.spin
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lives through pauses; the time that was spent looking in the last of them.
    fn looked(patience: &mut Patience, pauses: &[u64]) -> Duration {
        let mut now = Instant::now();
        let mut looked = Duration::ZERO;
        for &micros in pauses {
            let (start, end) = (now, now + Duration::from_micros(micros));
            while now < end && patience.goes_on(now) {
                now += Duration::from_micros(1);
            }
            looked = now - start;
            now = end;
            // What woke it is seen in the next turn.
            patience.goes_on(now);
            patience.reward(now);
        }
        looked
    }

    #[test]
    fn short_pauses_are_looked_through() {
        let mut patience = Patience::new();
        assert_eq!(looked(&mut patience, &[50]), SHORTEST, "it has to learn");
        assert_eq!(looked(&mut patience, &[50, 60, 90]), Duration::from_micros(90));
    }

    #[test]
    fn long_pauses_are_slept_through() {
        let mut patience = Patience::new();
        looked(&mut patience, &[100, 100]);
        assert_eq!(looked(&mut patience, &[2000; 7]), SHORTEST);
        let rare = looked(&mut patience, &[1_000_000; 10]);
        assert!(rare.as_secs_f64() < 0.01 / 100.0, "less than 1 % of a processor");
    }

    #[test]
    fn a_long_pause_among_short_ones_is_forgiven() {
        let mut patience = Patience::new();
        looked(&mut patience, &[80, 80, 5000]);
        assert_eq!(looked(&mut patience, &[70]), Duration::from_micros(70));
    }
}
