//! What is a call answered? One at a time: an engine's calls belong together, and each takes milliseconds.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::attach::Target;
use crate::docker::home::Home;
use crate::docker::refused::Refused;
use crate::docker::state::State;
use crate::runtime::emulator::Emulator;

/// How long what an engine has begun is taken for something that goes on; its calls follow each other at once.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// What hypertun is to an engine.
#[derive(Debug)]
pub struct Driver {
    pub(super) emulator: Arc<Emulator>,
    pub(super) state: State,
    /// Addresses that the engine has been told, and since when.
    pub(super) reserved: HashMap<(Home, Ipv4Addr), Instant>,
    /// Endpoints that have no container yet, and since when.
    pub(super) begun: HashMap<String, Instant>,
}

/// Who calls.
#[derive(Clone, Copy, Debug)]
pub(super) struct Engine {
    pub(super) pid: i32,
    pub(super) is_rootless: bool,
}

impl Engine {
    /// Where its network namespace is.
    pub(super) fn namespace(self) -> PathBuf {
        format!("/proc/{}/ns/net", self.pid).into()
    }
}

impl Driver {
    /// The driver of `emulator`, with what was kept of before it began. Endpoints that have ended since are forgotten.
    #[must_use]
    pub fn new(emulator: Arc<Emulator>, state: State) -> Self {
        let (reserved, begun) = (HashMap::new(), HashMap::new());
        let mut driver = Self { emulator, state, reserved, begun };
        driver.forget_ended();
        let enis: Vec<_> = driver.state.endpoints().values().map(|it| it.eni.clone()).collect();
        enis.into_iter().for_each(|eni| driver.settle(eni));
        driver
    }

    /// What a call needs no state for.
    pub(super) fn constant(method: &str) -> Option<Value> {
        Some(match method {
            "Plugin.Activate" => json!({"Implements": ["NetworkDriver", "IpamDriver"]}),
            "NetworkDriver.GetCapabilities" => {
                json!({"Scope": "local", "ConnectivityScope": "local"})
            }
            "IpamDriver.GetCapabilities" => {
                json!({"RequiresMACAddress": false, "RequiresRequestReplay": true})
            }
            "IpamDriver.GetDefaultAddressSpaces" => json!({
                "LocalDefaultAddressSpace": super::ipam::SPACE,
                "GlobalDefaultAddressSpace": super::ipam::SPACE,
            }),
            // Pools have no state; what else there is to be told is of no consequence.
            "IpamDriver.ReleasePool"
            | "NetworkDriver.Leave"
            | "NetworkDriver.RevokeExternalConnectivity"
            | "NetworkDriver.DiscoverNew"
            | "NetworkDriver.DiscoverDelete" => json!({}),
            "NetworkDriver.EndpointOperInfo" => json!({"Value": {}}),
            _ => return None,
        })
    }

    /// The answer to a call; none to one that is not known.
    pub(super) fn call(
        &mut self,
        method: &str,
        body: &[u8],
        engine: Option<Engine>,
    ) -> Option<Result<Value, Refused>> {
        Some(match method {
            "IpamDriver.RequestPool" => read(body).and_then(|it| self.request_pool(it)),
            "IpamDriver.RequestAddress" => read(body).and_then(|it| self.request_address(it)),
            "IpamDriver.ReleaseAddress" => read(body).and_then(|it| self.release_address(&it)),
            "NetworkDriver.CreateNetwork" => read(body).and_then(|it| self.create_network(it)),
            "NetworkDriver.DeleteNetwork" => read(body).and_then(|it| self.delete_network(&it)),
            "NetworkDriver.CreateEndpoint" => read(body).and_then(|it| self.create_endpoint(it)),
            "NetworkDriver.DeleteEndpoint" => read(body).and_then(|it| self.delete_endpoint(&it)),
            "NetworkDriver.Join" => read(body).and_then(|it| self.join(it, engine)),
            "NetworkDriver.ProgramExternalConnectivity" => {
                read(body).and_then(|it| self.program_external_connectivity(&it))
            }
            _ => return None,
        })
    }

    /// The endpoint that has a network interface.
    pub(super) fn holder(&self, eni: &str) -> Option<&str> {
        let mut endpoints = self.state.endpoints().iter();
        endpoints.find(|(_, it)| it.eni == eni).map(|(id, _)| id.as_str())
    }

    /// Whether a network interface is where the engine has placed it for the endpoint `id`.
    pub(super) fn is_lent(&self, eni: &str, id: &str) -> bool {
        let attached = self.emulator.attachments();
        let to = attached.get(eni).map(|it| &it.to);
        matches!(to, Some(Target::Endpoint(endpoint)) if endpoint.id == id)
    }

    /// Forgets endpoints of which the engine has not told that they have ended: hypertun was dead meanwhile.
    pub(super) fn forget_ended(&mut self) {
        let _ = self.emulator.take_back_from_ended();
        self.begun.retain(|_, since| since.elapsed() < PATIENCE);
        let endpoints = self.state.endpoints().iter();
        let ended = endpoints
            .filter(|(id, it)| !self.begun.contains_key(*id) && !self.is_lent(&it.eni, id))
            .map(|(id, _)| id.clone());
        for id in ended.collect::<Vec<_>>() {
            if let Err(error) = self.end_endpoint(&id) {
                tracing::warn!("container endpoint {id} has ended: {error}");
            }
        }
    }
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refused> {
    Ok(serde_json::from_slice(body)?)
}

/// An answer as it is sent.
pub(super) fn answer(told: &impl Serialize) -> Result<Value, Refused> {
    Ok(serde_json::to_value(told)?)
}
