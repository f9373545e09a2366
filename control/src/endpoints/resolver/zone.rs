//! What does one zone say of a name? RFC 1034 s. 4.3.2, and RFC 4592 for `*`.

use std::collections::HashMap;

use hickory_proto::rr::rdata::SOA;
use hickory_proto::rr::{Name, RData, Record, RecordType};

/// A zone: all that is known of the names below one.
#[derive(Clone, Debug)]
pub(super) struct Zone {
    apex: Name,
    soa: SOA,
    soa_ttl: u32,
    /// Whether it is a private hosted zone.
    hosted: bool,
    /// Names in lower case. One without a set stands between the apex and names that have some.
    nodes: HashMap<Name, Vec<Set>>,
}

/// All records of one name and type.
#[derive(Clone, Debug)]
pub(super) struct Set {
    pub(super) kind: RecordType,
    /// Seconds that it may be kept.
    pub(super) ttl: u32,
    pub(super) data: Vec<RData>,
}

/// What a zone says.
#[derive(Debug)]
pub(super) enum Found<'z> {
    /// These sets answer; of a query for ANY they may be several.
    Sets(Vec<&'z Set>),
    /// Another name is meant.
    Alias(&'z Set),
    /// The name is there, and has nothing of the type.
    NoData,
    /// No such name.
    NoName,
}

impl Zone {
    /// A zone without names but its own.
    pub(super) fn new(apex: Name, soa: SOA, soa_ttl: u32) -> Self {
        let nodes = HashMap::from([(apex.to_lowercase(), Vec::new())]);
        let mut zone = Self { apex: apex.clone(), soa: soa.clone(), soa_ttl, hosted: false, nodes };
        let data = vec![RData::SOA(soa)];
        zone.insert(&apex, Set { kind: RecordType::SOA, ttl: soa_ttl, data });
        zone
    }

    /// The same as a private hosted zone.
    pub(super) fn hosted(self) -> Self {
        Self { hosted: true, ..self }
    }

    pub(super) const fn is_hosted(&self) -> bool {
        self.hosted
    }

    pub(super) fn apex(&self) -> &Name {
        &self.apex
    }

    /// Adds to what is known of a name of the zone: to the set of that type, if there is one.
    pub(super) fn insert(&mut self, name: &Name, set: Set) {
        debug_assert!(self.apex.zone_of(name), "{name} is not of {}", self.apex);
        let name = name.to_lowercase();
        let mut above = name.base_name();
        while !above.is_root() && above != self.apex {
            self.nodes.entry(above.clone()).or_default();
            above = above.base_name();
        }
        let sets = self.nodes.entry(name).or_default();
        match sets.iter_mut().find(|it| it.kind == set.kind) {
            Some(known) => {
                let new = set.data.into_iter().filter(|it| !known.data.contains(it));
                let new: Vec<RData> = new.collect();
                known.data.extend(new);
            }
            None => sets.push(set),
        }
    }

    /// What it says of `name`, which is of the zone and in lower case.
    pub(super) fn find(&self, name: &Name, kind: RecordType) -> Found<'_> {
        let sets = match self.nodes.get(name) {
            Some(sets) => sets,
            None => match self.wildcard(name) {
                Some(sets) => sets,
                None => return Found::NoName,
            },
        };
        if kind == RecordType::ANY && !sets.is_empty() {
            return Found::Sets(sets.iter().collect());
        }
        if let Some(set) = sets.iter().find(|it| it.kind == kind) {
            return Found::Sets(vec![set]);
        }
        match sets.iter().find(|it| it.kind == RecordType::CNAME) {
            Some(alias) => Found::Alias(alias),
            None => Found::NoData,
        }
    }

    /// What `*` below the closest name that there is stands for.
    fn wildcard(&self, name: &Name) -> Option<&Vec<Set>> {
        let mut closest = name.base_name();
        while !self.nodes.contains_key(&closest) {
            closest = closest.base_name();
        }
        self.nodes.get(&closest.prepend_label("*").ok()?)
    }

    /// What an answer without records bears, and how long it may be kept (RFC 2308 s. 3).
    pub(super) fn negative(&self) -> Record {
        let ttl = self.soa_ttl.min(self.soa.minimum);
        Record::from_rdata(self.apex.clone(), ttl, RData::SOA(self.soa.clone()))
    }
}
