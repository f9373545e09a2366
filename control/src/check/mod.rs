//! Is the topology right, and what does it say in full?
//!
//! [`read`] takes a text from letters to a [`Checked`] topology, or to a report of everything that is wrong
//! with it: a part that is wrong is left out and the rest is still looked at. Each part of the check is a file
//! below; what they share is `Check`.

mod acls;
mod addresses;
mod aws;
mod blocks;
mod born;
mod checked;
mod claims;
mod dns;
mod groups;
mod held;
mod ids;
mod interfaces;
mod ipv6_addresses;
mod ipv6_blocks;
mod limits;
mod names;
mod nat64;
mod nat_gateways;
mod profile;
mod provider;
mod records;
mod routes;
mod ruled;
mod summary;
mod traffic;
mod vpc_endpoints;
mod ways;
mod workloads;

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::diagnostic::{Fault, Faults, Place, Report};
use crate::model::{self, Outline};
use names::{Homes, Words};

pub use born::Born;
pub use checked::*;
pub use groups::{EVERYWHERE, EVERYWHERE_IPV6};
pub use held::{Creating, Draining, Running, readdressed};
pub(crate) use ids::id;
pub use ids::instance_id;
pub use ipv6_blocks::is_global;
pub use profile::{ProfileKey, profile_keys};
pub use routes::NAT64;
pub use ruled::*;

/// The largest topology file, in bytes: some 600,000 rules.
pub const LARGEST_FILE: u64 = 64 << 20;

/// A right topology and what is worth knowing about it.
#[derive(Clone, Debug)]
pub struct Sound {
    /// The topology.
    pub topology: Checked,
    /// Warnings; no errors.
    pub warnings: Report,
    /// The text that it was read from.
    pub source: String,
    /// What there is in it.
    pub outline: Outline,
    /// Network interfaces that it has beside those of the text.
    pub born: Vec<Born>,
}

/// Why a file gives no topology.
#[derive(Debug, Error)]
pub enum LoadError {
    /// It cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It is larger than [`LARGEST_FILE`].
    #[error("{} is larger than {} MiB", path.display(), LARGEST_FILE >> 20)]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// It is not UTF-8.
    #[error("{} is not UTF-8 text: the byte at offset {offset} has no meaning", path.display())]
    NotText {
        /// The file.
        path: PathBuf,
        /// Of the first wrong byte.
        offset: usize,
    },
    /// It is wrong; warnings are among the faults.
    #[error("{0}")]
    Wrong(Report),
}

/// Reads and checks the file at `path`.
///
/// # Errors
/// When it cannot be read, is no text, or is wrong.
pub fn load(path: &Path) -> Result<Sound, LoadError> {
    read(&text_of(path)?, &path.to_string_lossy()).map_err(LoadError::Wrong)
}

/// What stands in the file at `path`.
///
/// # Errors
/// When it cannot be read, or is no text.
pub fn text_of(path: &Path) -> Result<String, LoadError> {
    let unreadable = |source| LoadError::Unreadable { path: path.to_owned(), source };
    let file = File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    file.take(LARGEST_FILE + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > LARGEST_FILE {
        return Err(LoadError::TooLarge { path: path.to_owned() });
    }
    String::from_utf8(bytes).map_err(|error| LoadError::NotText {
        path: path.to_owned(),
        offset: error.utf8_error().valid_up_to(),
    })
}

/// Reads and checks `text`; `name` stands for the file in the report.
///
/// # Errors
/// All that is wrong with it, warnings included.
pub fn read(text: &str, name: &str) -> Result<Sound, Report> {
    read_beside(&[], text, name)
}

/// As [`read`], with network interfaces beside those of the text.
///
/// # Errors
/// As [`read`].
pub fn read_beside(born: &[Born], text: &str, name: &str) -> Result<Sound, Report> {
    read_for(None, born, text, name)
}

/// As [`read`], where something runs already: what has an address there keeps it.
///
/// # Errors
/// As [`read`].
pub fn read_over(running: Running<'_>, text: &str, name: &str) -> Result<Sound, Report> {
    read_for(Some(running), running.born, text, name)
}

fn read_for(
    running: Option<Running<'_>>,
    born: &[Born],
    text: &str,
    name: &str,
) -> Result<Sound, Report> {
    let mut faults = Faults::default();
    if text.len() as u64 > LARGEST_FILE {
        faults.push(Fault::error(
            Place::default(),
            format!("larger than {} MiB", LARGEST_FILE >> 20),
        ));
        return Err(faults.report(name, ""));
    }
    let checked = model::read(text, &mut faults).and_then(|(mut model, outline)| {
        born::add(born, &mut model, &mut faults);
        Some((check(running, &model, &mut faults)?, outline))
    });
    let report = faults.report(name, text);
    match checked {
        Some((topology, outline)) => {
            let (source, born) = (text.to_owned(), born.to_vec());
            Ok(Sound { topology, warnings: report, source, outline, born })
        }
        None => Err(report),
    }
}

/// Checks what was read; none if an error was noted, here or before.
fn check(
    running: Option<Running<'_>>,
    model: &model::Topology,
    faults: &mut Faults,
) -> Option<Checked> {
    let mut declared = Check::new(running, model, faults);
    declared.names();
    declared.limits();
    let (with_implied, planned) = declared.implied();
    let model = with_implied.as_ref().unwrap_or(model);
    let mut check = Check::new(running, model, faults);
    check.dual_stack.clone_from(&planned.dual_stack);
    let addresses = check.addresses();
    let mut topology = Topology {
        region: check.region().to_owned(),
        vpcs: check.vpcs(),
        internet_gateways: check.internet_gateways(),
        egress_only_internet_gateways: check.egress_only_internet_gateways(),
        subnets: check.subnets(),
        route_tables: check.route_tables(),
        nat_gateways: check.nat_gateways(&addresses),
        security_groups: check.security_groups(),
        network_acls: check.network_acls(),
        prefix_lists: check.prefix_lists(),
        dhcp_options: check.dhcp_options(),
        private_hosted_zones: check.private_hosted_zones(),
        network_interfaces: check.network_interfaces(&addresses),
        vpc_endpoints: check.vpc_endpoints(&addresses),
        hyperplanes: Vec::new(),
        workloads: Vec::new(),
        internet_hosts: check.internet_hosts(&addresses),
        profile: check.profile(),
    };
    planned.settle(&mut topology);
    check.ids(&topology);
    check.dns64(&topology);
    debug_assert!(
        faults.any_error()
            || topology.subnets.len() == model.subnets.len()
                && topology.nat_gateways.len() == model.nat_gateways.len()
                && topology.network_interfaces.len() == model.network_interfaces.len(),
        "what is left out has been reported"
    );
    (!faults.any_error()).then(|| Checked::vouch(topology))
}

/// What the parts of the check share. A part leaves out of its result what it noted an error about.
struct Check<'m, 'f> {
    /// What runs where the topology is to.
    running: Option<Running<'m>>,
    model: &'m model::Topology,
    faults: &'f mut Faults,
    homes: Homes,
    words: Words,
    /// Interfaces that are to have an address of IPv6, whatever their subnets say.
    dual_stack: HashSet<String>,
}

impl Check<'_, '_> {
    fn region(&self) -> &str {
        self.model.region.as_ref().map_or("us-east-1", |region| region)
    }
}
