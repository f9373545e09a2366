//! What must outlive hypertun, so that a crash takes nobody's interface away? One file beside the
//! socket, which is written whole or not at all, and which the next start of the name reads.
//!
//! The devices themselves are made persistent (`TUNSETPERSIST`), and wait where they are.

use std::io;
use std::path::Path;

use netlink_packet_core::{NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::route::RouteMessage;
use serde::{Deserialize, Serialize};

use crate::attach::{Error, Target, guest};
use crate::runtime::interface::Interface;
use crate::runtime::kept;
use crate::runtime::namespace::{Identity, Namespace};

/// What the file holds.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Contents {
    /// 1: this.
    version: u32,
    attachments: Vec<Record>,
}

const VERSION: u32 = 1;

/// An interface that was given away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Record {
    /// Whose.
    pub(crate) name: String,
    /// To whom.
    pub(crate) to: Target,
    /// In which network namespace: an id of a process may be another's by now.
    pub(crate) namespace: Identity,
    /// Its link there.
    pub(crate) link: String,
    /// What the link was made.
    pub(crate) interface: Interface,
    /// Default routes of others that it replaces, as rtnetlink(7) has them.
    pub(crate) replaced: Vec<Route>,
}

impl Record {
    /// Where the link is, and what it is called there.
    pub(crate) fn find(&self) -> Result<(Namespace, String), Error> {
        match &self.to {
            Target::Endpoint(endpoint) => {
                endpoint.find().ok_or_else(|| Error::Ended(self.to.clone()))
            }
            _ => Ok((self.open()?, self.link.clone())),
        }
    }

    /// The namespace, if it is there still.
    fn open(&self) -> Result<Namespace, Error> {
        let ended = || Error::Ended(self.to.clone());
        let namespace = Namespace::open(&self.to.path()).map_err(|_| ended())?;
        if namespace.identity() == self.namespace { Ok(namespace) } else { Err(ended()) }
    }

    /// Takes the link away for good, and gives back what it replaced.
    pub(crate) fn end(&self) {
        let Ok((namespace, link)) = self.find() else { return };
        let routes: Vec<RouteMessage> = self.replaced.iter().map(|it| it.0.clone()).collect();
        if let Err(error) = guest::evict(&namespace, &link, &routes) {
            tracing::warn!("{} is left as it is: {error}", self.to);
        }
    }
}

/// A route as bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Vec<u8>", try_from = "Vec<u8>")]
pub(crate) struct Route(pub(crate) RouteMessage);

impl From<Route> for Vec<u8> {
    fn from(Route(route): Route) -> Self {
        let payload = NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewRoute(route));
        let mut message = NetlinkMessage::new(NetlinkHeader::default(), payload);
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        bytes
    }
}

impl TryFrom<Vec<u8>> for Route {
    type Error = String;

    fn try_from(bytes: Vec<u8>) -> Result<Self, String> {
        let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(&bytes);
        match message.map_err(|error| error.to_string())?.payload {
            NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewRoute(route)) => Ok(Self(route)),
            _ => Err("not a route".to_owned()),
        }
    }
}

/// What an instance that ended without taking them back has left at `path`; nothing where there is no
/// file. One that cannot be understood is told, and left out.
pub(crate) fn load(path: &Path) -> Vec<Record> {
    match read(path) {
        Ok(records) => records,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => {
            tracing::warn!("{} tells nothing of attached interfaces: {error}", path.display());
            Vec::new()
        }
    }
}

fn read(path: &Path) -> io::Result<Vec<Record>> {
    let Contents { version, attachments } = serde_json::from_slice(&kept::read(path)?)?;
    if version == VERSION {
        Ok(attachments)
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidData, format!("it is of version {version}")))
    }
}

/// Keeps `records` at `path`, in the place of what was there.
///
/// # Errors
///
/// When the file cannot be written: then the old one stays.
pub(crate) fn save(path: &Path, records: Vec<Record>) -> io::Result<()> {
    if records.is_empty() {
        return kept::write(path, None);
    }
    let contents = serde_json::to_vec(&Contents { version: VERSION, attachments: records })?;
    kept::write(path, Some(&contents))
}

/// Ends all that an instance has left at `path`, as it would have done by itself; returns how many
/// interfaces these were.
///
/// # Errors
///
/// When the file cannot be removed.
pub fn end_all(path: &Path) -> io::Result<usize> {
    let records = load(path);
    records.iter().for_each(Record::end);
    save(path, Vec::new())?;
    Ok(records.len())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use netlink_packet_route::route::RouteAttribute;

    use super::*;

    fn record() -> Record {
        let mut route = RouteMessage::default();
        route.attributes.push(RouteAttribute::Oif(7));
        Record {
            name: "app".into(),
            to: Target::Container { id: "web".into(), pid: 4711 },
            namespace: Namespace::current().unwrap().identity(),
            link: "eth0".into(),
            interface: Interface {
                addresses: vec!["10.0.1.10/24".parse().unwrap()],
                gateways: vec!["10.0.1.1".parse().unwrap()],
                mtu: 9001,
            },
            replaced: vec![Route(route)],
        }
    }

    #[test]
    fn what_is_saved_is_loaded_and_nothing_leaves_no_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("default.attachments");
        assert_eq!(load(&path), []);
        let records = vec![record(), Record { name: "other".into(), ..record() }];
        save(&path, records.clone()).unwrap();
        assert_eq!(load(&path), records);
        save(&path, records[1..].to_vec()).unwrap();
        assert_eq!(load(&path), records[1..]);
        save(&path, Vec::new()).unwrap();
        save(&path, Vec::new()).unwrap();
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_cannot_be_understood_is_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("default.attachments");
        save(&path, vec![record()]).unwrap();
        let right = fs::read_to_string(&path).unwrap();
        for wrong in [
            String::new(),
            "[]".to_owned(),
            right[..right.len() / 2].to_owned(),
            right.replace("\"version\":1", "\"version\":2"),
            right.replace("\"pid\":4711", "\"pid\":\"x\""),
            right.replace("\"replaced\":[[", "\"replaced\":[[255,255,"),
            right.replace("\"mtu\":9001", "\"mtu\":-1"),
            right.replace("\"link\"", "\"unknown\""),
        ] {
            assert_ne!(wrong, right);
            fs::write(&path, &wrong).unwrap();
            assert_eq!(load(&path), [], "{wrong}");
        }
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", &path).unwrap();
        assert_eq!(load(&path), []);
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert_eq!(load(&path), []);
    }

    #[test]
    fn whoever_has_the_process_id_now_is_left_alone() {
        let mut stranger = record();
        stranger.to = Target::Pid(i32::try_from(std::process::id()).unwrap());
        assert!(stranger.open().is_ok());
        stranger.namespace = Namespace::anonymous().unwrap().identity();
        assert!(matches!(stranger.open(), Err(Error::Ended(_))));
        stranger.end();
    }
}
