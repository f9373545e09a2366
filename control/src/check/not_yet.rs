//! What is right, and checked, and has no packets yet?

use crate::check::Check;
use crate::diagnostic::Fault;

impl Check<'_, '_> {
    /// Refuses it: a line each, to be removed with what it waits for.
    pub(super) fn not_yet(&mut self) {
        self.no_translator();
    }

    /// NAT gateways do as AWS's.
    fn no_translator(&mut self) {
        if let Some(nat64) = self.model.profile.as_ref().and_then(|it| it.nat64.as_ref()) {
            let fault = Fault::unsupported(nat64.place, "`nat64`");
            self.faults.push(fault.help("leave it out for now"));
        }
    }
}
