//! Interfaces that are given to what runs already: who has them, and how they come home.

use std::collections::BTreeMap;

use dataplane::io::close_all;
use dataplane::io::tun::{Handle, TunError};
use dataplane::worker::Workers;

use crate::attach::state::{self, Record};
use crate::attach::{self, Attached, Attachment, Endpoint, Target};
use crate::runtime::device::Device;
use crate::runtime::emulator::Error;
use crate::runtime::instance::Instance;
use crate::runtime::interface::Interface;
use crate::runtime::namespace::Namespace;
use crate::runtime::seats::{Seat, SeatKind};
use crate::runtime::site::{DeviceStatus, Site, Standing};

impl Site {
    /// Gives the interface `name` to `target`; see [`attach::give`].
    pub(in crate::runtime) fn attach(
        &mut self,
        name: &str,
        target: Target,
        replace: bool,
        instance: &Instance,
        workers: &Workers,
    ) -> Result<Attached, attach::Error> {
        self.give(name, instance, workers, |device, home, interface| {
            attach::give(device, home, interface, target, replace)
        })
    }

    /// Gives the interface `name` to the engine of `endpoint`, which knows it by `link`; see [`attach::lend`].
    pub(in crate::runtime) fn lend(
        &mut self,
        name: &str,
        endpoint: Endpoint,
        link: &str,
        instance: &Instance,
        workers: &Workers,
    ) -> Result<(), attach::Error> {
        let given = self.give(name, instance, workers, |device, home, interface| {
            attach::lend(device, home, interface, endpoint, link)
        });
        given.map(drop)
    }

    /// Sees to the interface `name`, which was lent, once its engine has placed it; returns whether there is nothing
    /// left to wait for.
    pub(in crate::runtime) fn settle(&self, name: &str) -> bool {
        let (Ok(device), Ok(interface)) = (self.device(name), self.interface(name)) else {
            return true;
        };
        let Some(attachment) = &device.attachment else { return true };
        match attachment.settle(&device.handle, interface) {
            Ok(false) => return false,
            Ok(true) => {}
            Err(attach::Error::Device(TunError::Gone)) => return true,
            Err(error) => tracing::warn!("{name} is not what it should be: {error}"),
        }
        self.keep();
        true
    }

    fn give(
        &mut self,
        name: &str,
        instance: &Instance,
        workers: &Workers,
        give: impl FnOnce(&Handle, &Namespace, &Interface) -> Result<Attachment, attach::Error>,
    ) -> Result<Attached, attach::Error> {
        self.bring_home_ended(instance, workers);
        let device = self.device(name)?;
        if let Some(there) = &device.attachment {
            let (name, target) = (name.to_owned(), there.target().clone());
            return Err(attach::Error::Attached { name, target });
        }
        let home = Namespace::open(&instance.paths().namespace_path(name))?;
        let interface = self.interface(name)?;
        match give(&device.handle, &home, interface) {
            Ok(attachment) => {
                let told = attachment.told(&device.handle);
                self.devices.entry(name.to_owned()).and_modify(|device| {
                    device.attachment = Some(attachment);
                });
                // Nothing outlives us that is not written down.
                self.keep();
                if let Err(error) = self.device(name)?.handle.persist(true) {
                    tracing::warn!("{name} would not outlive a crash: {error}");
                }
                Ok(told)
            }
            Err(refused) => {
                if !attach::is_at(&device.handle, &home) {
                    self.replace_device(name, &home, instance, workers)?;
                }
                Err(refused)
            }
        }
    }

    /// Takes the interface `name` home, and returns who had it.
    pub(in crate::runtime) fn detach(
        &mut self,
        name: &str,
        instance: &Instance,
        workers: &Workers,
    ) -> Result<Target, attach::Error> {
        let Some(attachment) = &self.device(name)?.attachment else {
            return Err(attach::Error::NotAttached(name.to_owned()));
        };
        let target = attachment.target().clone();
        self.bring_home(name, instance, workers)?;
        Ok(target)
    }

    /// Which interfaces are given to whom.
    pub(in crate::runtime) fn attachments(&self) -> BTreeMap<String, Attached> {
        let attached = self.devices.iter().filter_map(|(name, device)| {
            Some((name.clone(), device.attachment.as_ref()?.told(&device.handle)))
        });
        attached.collect()
    }

    /// Takes every interface home whose holder has ended, and returns whether some are away still.
    pub(in crate::runtime) fn bring_home_ended(
        &mut self,
        instance: &Instance,
        workers: &Workers,
    ) -> bool {
        let away = self.devices.iter().filter_map(|(name, device)| {
            let attachment = device.attachment.as_ref()?;
            Some((name.clone(), attachment.has_ended(&device.handle)))
        });
        let away: Vec<(String, bool)> = away.collect();
        for (name, _) in away.iter().filter(|(_, ended)| *ended) {
            match self.bring_home(name, instance, workers) {
                Ok(()) => tracing::info!("{name} is detached: whoever had it has ended"),
                Err(error) => tracing::warn!("{name} cannot be taken back: {error}"),
            }
        }
        self.devices.values().any(|device| device.attachment.is_some())
    }

    /// Takes the device of `name` home, or makes another one there if it is gone.
    fn bring_home(
        &mut self,
        name: &str,
        instance: &Instance,
        workers: &Workers,
    ) -> Result<(), attach::Error> {
        let home = Namespace::open(&instance.paths().namespace_path(name))?;
        let (device, interface) = (self.device(name)?, self.interface(name)?);
        let Some(attachment) = &device.attachment else { return Ok(()) };
        match attachment.take_back(&device.handle, &home, interface) {
            Err(attach::Error::Device(TunError::Gone)) => {
                self.replace_device(name, &home, instance, workers)?;
            }
            back => {
                back?;
                device.handle.persist(false)?;
                self.devices.entry(name.to_owned()).and_modify(|it| it.attachment = None);
            }
        }
        self.keep();
        Ok(())
    }

    /// Makes another device for `name` at `home`; the one before is lost.
    fn replace_device(
        &mut self,
        name: &str,
        home: &Namespace,
        instance: &Instance,
        workers: &Workers,
    ) -> Result<(), attach::Error> {
        let interface = self.interface(name)?.clone();
        let seat = self.seats[name].clone();
        self.devices.remove(name);
        let made = self.make_device(&seat, home, &interface, workers);
        if made.is_err() {
            // Then the next topology finds nothing here, and makes all of it.
            self.remove([&seat], instance, workers);
        }
        Ok(made.map_err(Box::new)?)
    }

    fn device(&self, name: &str) -> Result<&Standing, attach::Error> {
        self.devices.get(name).ok_or_else(|| attach::Error::NoDevice(name.to_owned()))
    }

    fn interface(&self, name: &str) -> Result<&Interface, attach::Error> {
        match self.seats.get(name).map(|seat| &seat.kind) {
            Some(SeatKind::Namespace { interface, .. }) => Ok(interface),
            _ => Err(attach::Error::NoDevice(name.to_owned())),
        }
    }

    /// Takes over the interface of `seat` where an instance of this name left it, if it did; returns whether
    /// it could. What cannot be taken over is taken away from there.
    pub(super) fn adopt(
        &mut self,
        seat: &Seat,
        home: &Namespace,
        interface: &Interface,
        workers: &Workers,
    ) -> bool {
        let Some(at) = self.left.iter().position(|left| left.name == seat.name) else {
            return false;
        };
        let left = self.left.swap_remove(at);
        let adopted = self.take_over(&left, seat, home, interface, workers);
        if let Err(error) = &adopted {
            tracing::warn!("{} is not attached to {} any more: {error}", seat.name, left.to);
            left.end();
        }
        adopted.is_ok()
    }

    fn take_over(
        &mut self,
        left: &Record,
        seat: &Seat,
        home: &Namespace,
        interface: &Interface,
        workers: &Workers,
    ) -> Result<(), attach::Error> {
        let (namespace, link) = left.find()?;
        let attachment = Attachment::adopted(left, home)?;
        let device = self.workshop.reopen(&link, &namespace).map_err(Box::new)?;
        let Device { queues, compat, takes, handle } = device;
        if left.interface != *interface {
            attach::change(&handle, &left.interface, interface)?;
        }
        let given = workers.attach(seat.link, queues).map_err(Error::from);
        given.and_then(|given| Ok(given?)).map_err(Box::new)?;
        let status = DeviceStatus { member: seat.name.clone(), compat, takes };
        let standing = Standing { status, handle, attachment: Some(attachment) };
        self.devices.insert(seat.name.clone(), standing);
        Ok(())
    }

    /// Takes away what was left to interfaces that there are not any more.
    pub(in crate::runtime) fn end_left(&mut self) {
        self.left.drain(..).for_each(|left| left.end());
        self.keep();
    }

    /// Keeps who has been given what, for a start of this name after a crash.
    pub(super) fn keep(&self) {
        let records = self.devices.iter().filter_map(|(name, device)| {
            let attachment = device.attachment.as_ref()?;
            attachment.record(name, &device.handle, self.interface(name).ok()?).ok()
        });
        let records = records.chain(self.left.iter().cloned()).collect();
        if let Err(error) = state::save(&self.kept, records) {
            let kept = self.kept.display();
            tracing::warn!("attached interfaces would not outlive a crash: {kept}: {error}");
        }
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let devices = std::mem::take(&mut self.devices).into_values();
        let handles = devices.map(|Standing { handle, attachment, .. }| {
            if let Some(attachment) = attachment {
                attachment.end(&handle);
            }
            handle
        });
        // The last descriptors of their devices, where workers have panicked.
        close_all(handles.collect());
        self.end_left();
    }
}
