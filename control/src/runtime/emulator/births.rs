//! How do network interfaces come and go while a topology runs, that its file does not declare? As if another file
//! were applied that does, with the same check and the same tables.

use std::net::Ipv4Addr;

use crate::check::Born;
use crate::runtime::emulator::{Emulator, Error};

/// What faults call the text that runs.
const RUNNING: &str = "the topology that runs";

impl Emulator {
    /// Makes a network interface, which stays until [`end`](Self::end), whatever is applied meanwhile.
    ///
    /// # Errors
    ///
    /// When it could not stand in the file, or the kernel refuses it: then all is as it was.
    pub fn bear(&self, born: Born) -> Result<(), Error> {
        self.with_born(|all| all.push(born))
    }

    /// Ends the network interface `name`, which [`bear`](Self::bear) made, wherever it is; no such one is no error.
    ///
    /// # Errors
    ///
    /// When a worker has ended.
    pub fn end(&self, name: &str) -> Result<(), Error> {
        self.with_born(|all| all.retain(|it| it.name != name))
    }

    fn with_born(&self, change: impl FnOnce(&mut Vec<Born>)) -> Result<(), Error> {
        let mut state = self.state();
        let mut all = state.born.clone();
        change(&mut all);
        if all == state.born {
            return Ok(());
        }
        let text = state.source.clone();
        let sound = self.check(&mut state, Some(&all), &text, RUNNING)?;
        match self.replace(&mut state, sound) {
            // What is new stands all the same.
            Err(error @ Error::Partly(..)) => {
                tracing::warn!("{error}");
                Ok(())
            }
            replaced => replaced.map(drop),
        }
    }

    /// The address of the last of `born`, if all of them were made now.
    ///
    /// # Errors
    ///
    /// [`Error::Wrong`] when one of them cannot be.
    pub fn address_of_next(&self, born: &[Born]) -> Result<Option<Ipv4Addr>, Error> {
        let mut state = self.state();
        let all = [&state.born, born].concat();
        let text = state.source.clone();
        let topology = self.check(&mut state, Some(&all), &text, RUNNING)?.topology;
        let last = born.last().map(|it| it.name.as_str()).unwrap_or_default();
        let last = topology.network_interfaces.iter().find(|it| it.name == last);
        Ok(last.and_then(|it| it.private_ip))
    }
}
