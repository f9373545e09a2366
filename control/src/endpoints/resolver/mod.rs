//! What does a VPC's resolver answer?

use std::net::IpAddr;

use crate::check::{Topology, VpcIndex};

pub(crate) mod names;

/// What one VPC's resolver knows.
#[derive(Debug, Default)]
pub(crate) struct View;

impl View {
    pub(crate) fn of(_topology: &Topology, _vpc: VpcIndex) -> Self {
        Self
    }
}

/// What a query came by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    Udp,
    Tcp,
}

/// The length of a header (RFC 1035 s. 4.1.1), in bytes.
const HEADER: usize = 12;

/// Answers every query with `NOTIMP` (RFC 1035 s. 4.1.1).
pub(crate) fn answer(
    query: &[u8],
    _transport: Transport,
    _caller: IpAddr,
    _view: &View,
) -> Option<Vec<u8>> {
    let mut header = *query.first_chunk::<HEADER>()?;
    if header[2] & 0x80 != 0 {
        return None;
    }
    header[2] |= 0x80;
    header[3] = 4;
    header[4..].fill(0);
    Some(header.to_vec())
}
