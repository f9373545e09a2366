//! What must be known of an engine's networks and endpoints after a crash, and of its networks after a reboot? An
//! engine keeps its own list of them, and tells each once.

use std::collections::BTreeMap;
use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::check::Born;
use crate::docker::home::Home;
use crate::docker::refused::Refused;
use crate::runtime::instance::Name;
use crate::runtime::kept;

/// A network of an engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Network {
    /// Where its containers come to sit.
    pub(super) home: Home,
    /// The groups of interfaces that are made for them.
    pub(super) security_groups: Option<Vec<String>>,
}

/// The place of one container in a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Endpoint {
    /// The engine's id of its network.
    pub(super) network: String,
    /// The network interface that it has.
    pub(super) eni: String,
    /// The address that the engine takes it for.
    pub(super) address: Ipv4Addr,
    /// The interface, if it was made for it.
    pub(super) born: Option<Born>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Contents {
    /// 1: this.
    version: u32,
    networks: BTreeMap<String, Network>,
    endpoints: BTreeMap<String, Endpoint>,
}

const VERSION: u32 = 1;

/// All that is kept, by the ids of an engine.
#[derive(Debug)]
pub struct State {
    path: PathBuf,
    contents: Contents,
}

impl State {
    /// What was kept under the name `instance`: in `$STATE_DIRECTORY`, as systemd.exec(5) has it, or
    /// `/var/lib/hypertun`. What cannot be understood is told, and left out.
    #[must_use]
    pub fn load(instance: &Name) -> Self {
        let given = std::env::var("STATE_DIRECTORY").unwrap_or_default();
        let given = given.split(':').next().filter(|it| !it.is_empty());
        let directory = Path::new(given.unwrap_or("/var/lib/hypertun"));
        Self::at(directory.join(format!("{instance}.docker")))
    }

    fn at(path: PathBuf) -> Self {
        let contents = match read(&path) {
            Ok(contents) => contents,
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    tracing::warn!(
                        "{} tells nothing of Docker's networks: {error}",
                        path.display()
                    );
                }
                Contents { version: VERSION, ..Contents::default() }
            }
        };
        Self { path, contents }
    }

    /// The network interfaces that were made for containers.
    #[must_use]
    pub fn born(&self) -> Vec<Born> {
        self.contents.endpoints.values().filter_map(|it| it.born.clone()).collect()
    }

    pub(super) fn networks(&self) -> &BTreeMap<String, Network> {
        &self.contents.networks
    }

    pub(super) fn endpoints(&self) -> &BTreeMap<String, Endpoint> {
        &self.contents.endpoints
    }

    /// Adds or replaces a network.
    ///
    /// # Errors
    ///
    /// When it cannot be kept: then it is not there.
    pub(super) fn add_network(&mut self, id: &str, network: Network) -> Result<(), Refused> {
        self.change(|contents| drop(contents.networks.insert(id.to_owned(), network)))
    }

    /// Adds an endpoint.
    ///
    /// # Errors
    ///
    /// When it cannot be kept: then it is not there.
    pub(super) fn add_endpoint(&mut self, id: &str, endpoint: Endpoint) -> Result<(), Refused> {
        self.change(|contents| drop(contents.endpoints.insert(id.to_owned(), endpoint)))
    }

    /// Forgets a network.
    pub(super) fn remove_network(&mut self, id: &str) {
        self.remove(|contents| contents.networks.remove(id).is_some());
    }

    /// Forgets an endpoint, and returns what it was.
    pub(super) fn remove_endpoint(&mut self, id: &str) -> Option<Endpoint> {
        let mut removed = None;
        self.remove(|contents| {
            removed = contents.endpoints.remove(id);
            removed.is_some()
        });
        removed
    }

    fn change(&mut self, change: impl FnOnce(&mut Contents)) -> Result<(), Refused> {
        let mut contents = self.contents.clone();
        change(&mut contents);
        match self.save(&contents) {
            Ok(()) => {
                self.contents = contents;
                Ok(())
            }
            Err(source) => Err(Refused::NotKept { path: self.path.clone(), source }),
        }
    }

    /// What an engine has forgotten is gone, whether that can be kept or not: what the file has too much is found to be
    /// gone at the next start.
    fn remove(&mut self, remove: impl FnOnce(&mut Contents) -> bool) {
        if remove(&mut self.contents)
            && let Err(error) = self.save(&self.contents)
        {
            tracing::warn!("{} says too much: {error}", self.path.display());
        }
    }

    fn save(&self, contents: &Contents) -> io::Result<()> {
        if contents.networks.is_empty() && contents.endpoints.is_empty() {
            return kept::write(&self.path, None);
        }
        if let Some(directory) = self.path.parent() {
            std::fs::create_dir_all(directory)?;
        }
        kept::write(&self.path, Some(&serde_json::to_vec(contents)?))
    }
}

fn read(path: &Path) -> io::Result<Contents> {
    let contents: Contents = serde_json::from_slice(&kept::read(path)?)?;
    if contents.version == VERSION {
        Ok(contents)
    } else {
        let message = format!("it is of version {}", contents.version);
        Err(io::Error::new(io::ErrorKind::InvalidData, message))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn network() -> Network {
        Network {
            home: Home::Subnet("private-a".into()),
            security_groups: Some(vec!["app".into()]),
        }
    }

    fn endpoint() -> Endpoint {
        let born = Born {
            name: "docker-0123456789ab".into(),
            subnet: "private-a".into(),
            private_ip: Some([10, 0, 1, 5].into()),
            security_groups: None,
        };
        let (network, eni) = ("n".into(), born.name.clone());
        Endpoint { network, eni, address: [10, 0, 1, 5].into(), born: Some(born) }
    }

    #[test]
    fn what_is_kept_is_there_after_a_crash_and_nothing_leaves_no_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("deep/default.docker");
        let mut state = State::at(path.clone());
        assert_eq!(state.contents, Contents { version: VERSION, ..Contents::default() });
        state.add_network("n", network()).unwrap();
        state.add_endpoint("e", endpoint()).unwrap();
        let mut again = State::at(path.clone());
        assert_eq!(again.contents, state.contents);
        assert_eq!(again.born(), [endpoint().born.unwrap()]);
        assert_eq!(again.remove_endpoint("e"), Some(endpoint()));
        assert_eq!(again.remove_endpoint("e"), None);
        again.remove_network("n");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 0);
    }

    #[test]
    fn what_cannot_be_kept_is_not_there() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("default.docker");
        let mut state = State::at(path.clone());
        state.add_network("n", network()).unwrap();
        // Nothing can be renamed onto a directory.
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        let refused = state.add_endpoint("e", endpoint()).unwrap_err();
        assert!(refused.to_string().starts_with("cannot keep this in "), "{refused}");
        assert!(state.endpoints().is_empty());
        // What is forgotten is gone all the same.
        state.remove_network("n");
        assert!(state.networks().is_empty());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "nothing is left beside");
    }

    #[test]
    fn what_cannot_be_understood_is_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("default.docker");
        State::at(path.clone()).add_network("n", network()).unwrap();
        let right = fs::read_to_string(&path).unwrap();
        for wrong in [
            String::new(),
            "[]".to_owned(),
            right[..right.len() / 2].to_owned(),
            right.replace("\"version\":1", "\"version\":2"),
            right.replace("\"subnet\"", "\"planet\""),
        ] {
            assert_ne!(wrong, right);
            fs::write(&path, &wrong).unwrap();
            assert!(State::at(path.clone()).networks().is_empty(), "{wrong}");
        }
    }
}
