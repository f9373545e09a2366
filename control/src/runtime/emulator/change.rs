//! How does a topology take the place of the one that runs?

use std::sync::Arc;

use dataplane::packet::LinkId;
use dataplane::worker::Gone;

use crate::check::{self, Born, Running, Sound};
use crate::compile::{self, Compiled, FIRST_EPOCH, Passing};
use crate::diagnostic::Report;
use crate::endpoints::Knowledge;
use crate::model::Change;
use crate::runtime::emulator::{Emulator, Error, State, passing};
use crate::runtime::seats::seats;

/// What a new topology has changed.
#[derive(Debug)]
pub struct Applied {
    /// What differs from the old one.
    pub changes: Vec<Change>,
    /// What is worth knowing about the new one.
    pub warnings: Report,
}

impl Emulator {
    /// Replaces the topology that runs by what `text` says; `file` is what faults call it. Packets
    /// see the old one or the new one, never half of it; live flows are judged again by the new one
    /// when their next packet comes.
    ///
    /// # Errors
    ///
    /// When the text is wrong, or the kernel refuses what is new: the old one goes on.
    /// [`Error::Partly`] when the kernel refuses to change what there was: the new one runs, and
    /// the next call tries again what is left.
    pub fn apply(&self, text: &str, file: &str) -> Result<Applied, Error> {
        let mut state = self.state();
        let sound = self.check(&mut state, None, text, file)?;
        let mut changes = state.outline.difference(&sound.outline);
        let moved = check::readdressed(&state.topology, &sound.topology).into_iter();
        let told = |thing: &String| changes.iter().any(|change| change.thing() == thing);
        let moved: Vec<_> = moved.filter(|it| !told(it)).map(Change::Readdressed).collect();
        changes.extend(moved);
        self.replace(&mut state, sound).map(|warnings| Applied { changes, warnings })
    }

    /// What `text` says, with `born` or else the network interfaces that there are beside those of a text, where what
    /// runs keeps its addresses.
    pub(super) fn check(
        &self,
        state: &mut State,
        born: Option<&[Born]>,
        text: &str,
        file: &str,
    ) -> Result<Sound, Error> {
        let now = self.clock.elapsed();
        state.draining.retain(|it| it.until > now);
        let State { topology, draining, .. } = &*state;
        let born = born.unwrap_or(&state.born);
        check::read_over(Running { topology, draining, born }, text, file).map_err(Error::Wrong)
    }

    /// Puts `sound` in the place of what runs, and returns its warnings.
    pub(super) fn replace(&self, state: &mut State, sound: Sound) -> Result<Report, Error> {
        let Sound { topology, source, outline, born, warnings } = sound;
        let now = self.clock.elapsed();
        let mut names = (*state.names).clone();
        let epoch = state.epoch.checked_add(1).unwrap_or(FIRST_EPOCH);
        let draining = passing::drain(state, &topology, now);
        let creating = passing::create(state, &topology, now);
        let old = self.published.load();
        let passing = Passing { draining: &draining, creating: &creating, tables: Some(&old) };
        let Compiled { tables, ids } = compile::compile(&topology, passing, &mut names, epoch)?;
        // Before anybody knows of it, so that all know of it at once.
        tables.ready();
        let plan = state.site.plan(&seats(&topology, &ids));
        state.site.prepare(&plan, &self.instance, &self.workers)?;
        state.site.know(Knowledge::of(&topology));
        self.published.replace(tables);
        state.ledger.note(&topology, now);
        state.names = Arc::new(names);
        state.topology = Arc::new(topology);
        state.source = source;
        state.outline = outline;
        state.born = born;
        state.epoch = epoch;
        state.draining = draining;
        state.creating = creating;
        state.site.clear(&plan, &self.instance, &self.workers);
        // Before anybody comes by their name, for whose it would be taken.
        self.forget(plan.vacated())?;
        let failed = state.site.finish(&plan, &self.instance, &self.workers);
        // Whoever has answered reads the new ones. So it is not the workers who take the old ones down, but this thread.
        drop(old);
        if failed.is_empty() { Ok(warnings) } else { Err(Error::Partly(failed, warnings)) }
    }

    /// Forgets the flows from and to these links, a few between two turns of each worker. All workers are asked, also
    /// where there are no links.
    fn forget(&self, links: Vec<LinkId>) -> Result<(), Gone> {
        let links: Arc<[_]> = links.into();
        self.workers
            .go_through(move |shard, tables, from| {
                ((), shard.forget_links(&links, from, &tables.timers))
            })
            .try_for_each(|answers| answers.map(drop))
    }
}
