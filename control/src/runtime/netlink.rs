//! What does the kernel answer to one request about links, addresses, routes or queues? rtnetlink(7).

use std::io;
use std::net::Ipv6Addr;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage,
    NetlinkPayload,
};
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteType};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};

/// A conversation with the kernel about the namespace that its opener was in.
pub(crate) struct Netlink {
    socket: Socket,
    sequence: u32,
}

impl Netlink {
    pub(crate) fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(Self { socket, sequence: 0 })
    }

    /// Changes something, and waits until it has.
    pub(crate) fn change(&mut self, message: RouteNetlinkMessage) -> io::Result<()> {
        self.ask(message, NLM_F_ACK).map(drop)
    }

    /// Adds something that must not be there yet, and waits until it is.
    pub(crate) fn add(&mut self, message: RouteNetlinkMessage) -> io::Result<()> {
        self.ask(message, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL).map(drop)
    }

    /// The index of the link `name`; `NotFound` when there is none.
    pub(crate) fn index(&mut self, name: &str) -> io::Result<u32> {
        self.link(name).map(|link| link.header.index)
    }

    /// All that the kernel says of the link `name`; `NotFound` when there is none.
    pub(crate) fn link(&mut self, name: &str) -> io::Result<LinkMessage> {
        let mut link = LinkMessage::default();
        link.attributes.push(LinkAttribute::IfName(name.to_owned()));
        self.find(link, name)
    }

    /// The name of the link with an index.
    pub(crate) fn name(&mut self, index: u32) -> io::Result<String> {
        let mut link = LinkMessage::default();
        link.header.index = index;
        let found = self.find(link, &index.to_string())?.attributes.into_iter();
        let mut names = found.filter_map(|attribute| match attribute {
            LinkAttribute::IfName(name) => Some(name),
            _ => None,
        });
        names.next().ok_or_else(unexpected)
    }

    /// Brings the link `name` up.
    pub(crate) fn bring_up(&mut self, name: &str) -> io::Result<()> {
        let mut link = LinkMessage::default();
        link.header.index = self.index(name)?;
        link.header.flags = LinkFlags::Up;
        link.header.change_mask = LinkFlags::Up;
        self.change(RouteNetlinkMessage::SetLink(link))
    }

    /// Deletes the link `name`.
    pub(crate) fn remove(&mut self, name: &str) -> io::Result<()> {
        let mut link = LinkMessage::default();
        link.header.index = self.index(name)?;
        self.change(RouteNetlinkMessage::DelLink(link))
    }

    fn find(&mut self, link: LinkMessage, name: &str) -> io::Result<LinkMessage> {
        match self.ask(RouteNetlinkMessage::GetLink(link), 0) {
            Ok(Some(RouteNetlinkMessage::NewLink(found))) => Ok(found),
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => {
                Err(io::Error::new(io::ErrorKind::NotFound, format!("there is no link {name}")))
            }
            Err(error) => Err(error),
            Ok(_) => Err(unexpected()),
        }
    }

    /// How packets to `address` are routed; `None` where nothing leads there.
    pub(crate) fn route(&mut self, address: Ipv6Addr) -> io::Result<Option<RouteType>> {
        let mut question = RouteMessage::default();
        question.header.address_family = AddressFamily::Inet6;
        question.header.destination_prefix_length = 128;
        question.attributes.push(RouteAttribute::Destination(RouteAddress::Inet6(address)));
        match self.ask(RouteNetlinkMessage::GetRoute(question), 0) {
            Ok(Some(RouteNetlinkMessage::NewRoute(found))) => Ok(Some(found.header.kind)),
            Err(error) if error.kind() == io::ErrorKind::NetworkUnreachable => Ok(None),
            Err(error) => Err(error),
            Ok(_) => Err(unexpected()),
        }
    }

    /// All that there is of a kind, as far as the kernel heeds what `message` asks for.
    pub(crate) fn dump(
        &mut self,
        message: RouteNetlinkMessage,
    ) -> io::Result<Vec<RouteNetlinkMessage>> {
        self.send(message, NLM_F_DUMP)?;
        let mut found = Vec::new();
        loop {
            let (datagram, _) = self.socket.recv_from_full()?;
            let mut rest = &*datagram;
            while !rest.is_empty() {
                let part = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest)
                    .map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e.to_string()))?;
                // Each begins at a multiple of four bytes (netlink(7), NLMSG_ALIGN).
                let length = usize::try_from(part.header.length).unwrap_or(usize::MAX);
                rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
                if part.header.sequence_number != self.sequence {
                    continue;
                }
                match part.payload {
                    NetlinkPayload::Done(_) => return Ok(found),
                    NetlinkPayload::Error(error) => return Err(error.to_io()),
                    NetlinkPayload::InnerMessage(message) => found.push(message),
                    _ => return Err(unexpected()),
                }
            }
        }
    }

    /// One request and its one answer: a message, or `None` for an acknowledgement.
    fn ask(
        &mut self,
        message: RouteNetlinkMessage,
        flags: u16,
    ) -> io::Result<Option<RouteNetlinkMessage>> {
        self.send(message, flags)?;
        loop {
            let (answer, _) = self.socket.recv_from_full()?;
            let answer = NetlinkMessage::<RouteNetlinkMessage>::deserialize(&answer)
                .map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e.to_string()))?;
            if answer.header.sequence_number != self.sequence {
                continue;
            }
            return match answer.payload {
                NetlinkPayload::Error(error) if error.code.is_none() => Ok(None),
                NetlinkPayload::Error(error) => Err(error.to_io()),
                NetlinkPayload::InnerMessage(message) => Ok(Some(message)),
                _ => Err(unexpected()),
            };
        }
    }

    fn send(&mut self, message: RouteNetlinkMessage, flags: u16) -> io::Result<()> {
        self.sequence += 1;
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | flags;
        header.sequence_number = self.sequence;
        let mut request = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(message));
        request.finalize();
        let mut bytes = vec![0; request.buffer_len()];
        request.serialize(&mut bytes);
        self.socket.send(&bytes, 0).map(drop)
    }
}

fn unexpected() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "an answer that fits no question")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::namespace::Namespace;

    #[test]
    fn a_new_namespace_has_lo_and_nothing_else() {
        let namespace = Namespace::anonymous().unwrap();
        let (lo, eth0) = namespace
            .enter(|| {
                let mut netlink = Netlink::open().unwrap();
                (netlink.index("lo"), netlink.index("eth0"))
            })
            .unwrap();
        assert_eq!(lo.unwrap(), 1);
        assert_eq!(eth0.unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn an_error_of_the_kernel_is_returned() {
        let namespace = Namespace::anonymous().unwrap();
        let refused = namespace.enter(|| {
            let mut absent = LinkMessage::default();
            absent.header.index = 77;
            absent.attributes.push(LinkAttribute::Mtu(1500));
            Netlink::open().unwrap().change(RouteNetlinkMessage::SetLink(absent))
        });
        assert_eq!(refused.unwrap().unwrap_err().raw_os_error(), Some(libc::ENODEV));
    }
}
