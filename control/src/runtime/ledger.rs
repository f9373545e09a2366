//! For how many hours has what costs by the hour been there?
//!
//! AWS "Amazon VPC pricing", "AWS PrivateLink pricing": an hour that has begun is whole, of an interface endpoint in each of
//! its zones. What was taken away has cost what it has: its hours stay, and are those of what bears its name again.

use std::time::Duration;

use crate::check::{EndpointKind, Topology};
use crate::compile::endpoint_key;

/// All that costs, and what did.
#[derive(Debug, Default)]
pub(super) struct Ledger(Vec<Stay>);

/// Something that costs, in one place, from its beginning to its end.
#[derive(Debug)]
struct Stay {
    what: String,
    place: String,
    since: Duration,
    until: Option<Duration>,
}

/// Milliseconds.
const HOUR: u128 = 3_600_000;

impl Ledger {
    /// Notes what there is in emulated time `now`, and that the rest is not any more.
    pub(super) fn note(&mut self, topology: &Topology, now: Duration) {
        let mut there = costly(topology);
        for stay in self.0.iter_mut().filter(|it| it.until.is_none()) {
            let same = |it: &(String, String)| (&it.0, &it.1) == (&stay.what, &stay.place);
            match there.iter().position(same) {
                Some(at) => _ = there.swap_remove(at),
                None => stay.until = Some(now),
            }
        }
        let begun = there.into_iter();
        self.0.extend(begun.map(|(what, place)| Stay { what, place, since: now, until: None }));
    }

    /// Hours that have begun by emulated time `now`, of all places.
    pub(super) fn hours(&self, what: &str, now: Duration) -> u64 {
        let stays = self.0.iter().filter(|it| it.what == what);
        let hours = stays.map(|it| {
            let stay = it.until.unwrap_or(now).saturating_sub(it.since);
            u64::try_from(stay.as_millis().div_ceil(HOUR)).unwrap_or(u64::MAX).max(1)
        });
        hours.sum()
    }
}

/// What AWS charges for by the hour, as what counts its bytes is called, and where.
fn costly(topology: &Topology) -> Vec<(String, String)> {
    let gateways = topology.nat_gateways.iter().filter(|it| !it.deleted);
    let gateways = gateways.map(|it| (it.name.clone(), String::new()));
    let endpoints = topology.vpc_endpoints.iter().flat_map(|endpoint| {
        let key = endpoint_key(endpoint, topology);
        let places: Vec<String> = match endpoint.kind {
            EndpointKind::Gateway { .. } => vec![String::new()],
            EndpointKind::Interface { .. } => endpoint
                .places(topology)
                .map(|(subnet, _)| topology[subnet].availability_zone.clone())
                .collect(),
        };
        places.into_iter().map(move |place| (key.clone(), place))
    });
    gateways.chain(endpoints).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check;

    #[test]
    fn each_zone_has_its_hours_and_what_was_there_is_owed() {
        let read = |subnets: &str, state: &str| {
            let text = format!(
                "vpcs: {{v: {{cidr_block: 10.0.0.0/16}}}}\n\
                 internet_gateways: {{igw: {{vpc: v}}}}\n\
                 subnets: {{a: {{vpc: v, availability_zone: us-east-1a, cidr_block: 10.0.0.0/24}}, \
                 b: {{vpc: v, availability_zone: us-east-1b, cidr_block: 10.0.1.0/24}}}}\n\
                 nat_gateways: {{n: {{subnet: a, public_ips: [198.51.100.10], state: {state}}}}}\n\
                 vpc_endpoints: {{e: {{vpc: v, vpc_endpoint_type: Interface, service: sqs, \
                 subnets: {subnets}}}}}"
            );
            check::read(&text, "test").unwrap_or_else(|report| panic!("{report}")).topology
        };
        let hour = Duration::from_secs(3600);
        let mut ledger = Ledger::default();
        ledger.note(&read("[a]", "available"), Duration::ZERO);
        let endpoint = "vpc-endpoint:interface:v:e";
        let hours = |ledger: &Ledger, now| ["n", endpoint].map(|it| ledger.hours(it, now));
        assert_eq!(hours(&ledger, Duration::from_millis(1)), [1, 1]);
        assert_eq!(hours(&ledger, 2 * hour), [2, 2]);
        assert_eq!(hours(&ledger, 2 * hour + Duration::from_millis(1)), [3, 3]);
        // A zone more begins when it is there; a gateway that is deleted ends.
        ledger.note(&read("[a, b]", "deleted"), 9 * hour);
        assert_eq!(hours(&ledger, 10 * hour), [9, 11]);
        ledger.note(&read("[b]", "deleted"), 10 * hour);
        assert_eq!(hours(&ledger, 12 * hour), [9, 13]);
    }
}
