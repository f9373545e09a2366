//! What a NAT gateway counts: one list makes count, name and description (AWS "NAT gateway metrics
//! and dimensions").

use std::ops::{AddAssign, Index, IndexMut, Sub};

use crate::labelled;

labelled! {
    /// One of the sums that a NAT gateway keeps, in the order of AWS's page. The word is AWS's name in snake case, as
    /// the Prometheus exporter of CloudWatch makes it.
    pub enum Count {
        BytesInFromDestination = "bytes_in_from_destination": "Bytes received from the destination, unsolicited ones too",
        BytesInFromSource = "bytes_in_from_source": "Bytes received from clients in the VPC",
        BytesOutToDestination = "bytes_out_to_destination": "Bytes sent out to the destination",
        BytesOutToSource = "bytes_out_to_source": "Bytes sent to clients in the VPC",
        ConnectionAttempts = "connection_attempt_count": "TCP connections attempted: first SYNs, whether or not they got a port",
        ConnectionsEstablished = "connection_established_count": "TCP connections established: handshakes that were completed",
        PortErrors = "error_port_allocation": "Times that no source port was left towards a destination",
        IdleTimeouts = "idle_timeout_count": "TCP connections that were silent for too long without having been closed",
        PacketsDropped = "packets_drop_count": "Packets dropped by the gateway",
        PacketsInFromDestination = "packets_in_from_destination": "Packets received from the destination, unsolicited ones too",
        PacketsInFromSource = "packets_in_from_source": "Packets received from clients in the VPC",
        PacketsOutToDestination = "packets_out_to_destination": "Packets sent out to the destination",
        PacketsOutToSource = "packets_out_to_source": "Packets sent to clients in the VPC",
    }
}

/// A number for each [`Count`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally([u64; Count::ALL.len()]);

impl Tally {
    /// Packets received on either side.
    #[must_use]
    pub fn packets_in(&self) -> u64 {
        self[Count::PacketsInFromSource] + self[Count::PacketsInFromDestination]
    }

    /// Bytes received on either side, from the IP header on.
    #[must_use]
    pub fn bytes_in(&self) -> u64 {
        self[Count::BytesInFromSource] + self[Count::BytesInFromDestination]
    }
}

impl Index<Count> for Tally {
    type Output = u64;

    fn index(&self, count: Count) -> &u64 {
        &self.0[count as usize]
    }
}

impl IndexMut<Count> for Tally {
    fn index_mut(&mut self, count: Count) -> &mut u64 {
        &mut self.0[count as usize]
    }
}

impl AddAssign<&Self> for Tally {
    fn add_assign(&mut self, other: &Self) {
        for (sum, more) in self.0.iter_mut().zip(other.0) {
            *sum += more;
        }
    }
}

impl Sub for &Tally {
    type Output = Tally;

    /// What was counted since `earlier`.
    fn sub(self, earlier: Self) -> Tally {
        Tally(std::array::from_fn(|at| self.0[at].saturating_sub(earlier.0[at])))
    }
}
