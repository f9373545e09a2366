//! The requests that a TUN device answers (Linux `include/uapi/linux/if_tun.h`).
#![expect(unsafe_code, reason = "ioctl: the kernel reads and writes memory by an untyped address")]

use std::ffi::{c_int, c_short, c_void};
use std::os::fd::{FromRawFd, OwnedFd};

use rustix::io::{Errno, Result};
use rustix::ioctl::{IntegerSetter, Ioctl, IoctlOutput, Opcode, Setter, Updater, ioctl};

/// Attaches the open file to the device `name`, which the kernel creates unless it exists.
pub(super) fn attach(device: &OwnedFd, name: &str, flags: c_int) -> Result<()> {
    let mut interface = Interface::named(name, flags)?;
    // JUSTIFICATION: no crate offers TUNSETIFF with several queues and virtio-net headers.
    // SAFETY: TUNSETIFF reads and writes one `struct ifreq`, whose layout `Interface` has.
    unsafe { ioctl(device, Updater::<SET_INTERFACE, Interface>::new(&mut interface)) }
}

/// Name and flags of the device that the open file is attached to.
pub(super) fn describe(device: &OwnedFd) -> Result<(String, c_int)> {
    let mut interface = Interface::named("", 0)?;
    // JUSTIFICATION: no crate offers TUNGETIFF.
    // SAFETY: TUNGETIFF writes one `struct ifreq`, whose layout `Interface` has.
    unsafe { ioctl(device, Updater::<GET_INTERFACE, Interface>::new(&mut interface))? };
    // The highest flag is the sign of a `short`.
    Ok((interface.name(), c_int::from(interface.flags.cast_unsigned())))
}

/// States the length of the header before each packet, in bytes.
pub(super) fn set_header_length(device: &OwnedFd, length: usize) -> Result<()> {
    let length = c_int::try_from(length).map_err(|_| Errno::INVAL)?;
    // JUSTIFICATION: no crate offers TUNSETVNETHDRSZ.
    // SAFETY: TUNSETVNETHDRSZ reads one `int`.
    unsafe { ioctl(device, Setter::<SET_HEADER_LENGTH, c_int>::new(length)) }
}

/// States which unfinished work this process takes over, as `TUN_F_` bits; all or nothing.
pub(super) fn set_offload(device: &OwnedFd, mask: u32) -> Result<()> {
    let mask = usize::try_from(mask).map_err(|_| Errno::INVAL)?;
    // JUSTIFICATION: no crate offers TUNSETOFFLOAD with every bit.
    // SAFETY: TUNSETOFFLOAD takes its argument by value and touches no memory.
    unsafe { ioctl(device, IntegerSetter::<SET_OFFLOAD>::new_usize(mask)) }
}

/// States whether the device stays without a queue that is open.
pub(super) fn set_persistent(device: &OwnedFd, stays: bool) -> Result<()> {
    // JUSTIFICATION: no crate offers TUNSETPERSIST for a device that it did not open.
    // SAFETY: TUNSETPERSIST takes its argument by value and touches no memory.
    unsafe { ioctl(device, IntegerSetter::<SET_PERSISTENT>::new_usize(stays.into())) }
}

/// The network namespace that the device is in.
pub(super) fn namespace(device: &OwnedFd) -> Result<OwnedFd> {
    // JUSTIFICATION: no crate offers TUNGETDEVNETNS.
    // SAFETY: `Namespace` describes TUNGETDEVNETNS as the kernel has it.
    unsafe { ioctl(device, Namespace) }
}

/// Whether the device is in the calling thread's network namespace.
pub(super) fn is_here(device: &OwnedFd) -> Result<bool> {
    let there = rustix::fs::fstat(namespace(device)?)?;
    let here = rustix::fs::stat("/proc/thread-self/ns/net")?;
    Ok((there.st_dev, there.st_ino) == (here.st_dev, here.st_ino))
}

const SET_INTERFACE: Opcode = opcode(libc::TUNSETIFF);
const GET_INTERFACE: Opcode = opcode(libc::TUNGETIFF);
const SET_PERSISTENT: Opcode = opcode(libc::TUNSETPERSIST);
const SET_HEADER_LENGTH: Opcode = opcode(libc::TUNSETVNETHDRSZ);
const SET_OFFLOAD: Opcode = opcode(libc::TUNSETOFFLOAD);
const GET_NAMESPACE: Opcode = opcode(libc::TUNGETDEVNETNS);

#[expect(clippy::cast_possible_truncation, reason = "a request has 32 bits in any integer type")]
const fn opcode(request: libc::Ioctl) -> Opcode {
    request as Opcode
}

/// `struct ifreq`, as far as TUN uses it.
#[repr(C)]
struct Interface {
    name: [u8; libc::IFNAMSIZ],
    flags: c_short,
    rest: [u8; 22],
}

const _: () = assert!(size_of::<Interface>() == size_of::<libc::ifreq>());

impl Interface {
    fn named(name: &str, flags: c_int) -> Result<Self> {
        let mut bytes = [0; libc::IFNAMSIZ];
        let place = bytes.get_mut(..name.len()).ok_or(Errno::INVAL)?;
        place.copy_from_slice(name.as_bytes());
        let flags = u16::try_from(flags).map_err(|_| Errno::INVAL)?.cast_signed();
        Ok(Self { name: bytes, flags, rest: [0; 22] })
    }

    fn name(&self) -> String {
        let name = self.name.split(|byte| *byte == 0).next().unwrap_or_default();
        String::from_utf8_lossy(name).into_owned()
    }
}

/// TUNGETDEVNETNS: answers with a new descriptor of the device's network namespace.
struct Namespace;

// JUSTIFICATION: rustix has no pattern for requests that answer with a descriptor.
// SAFETY: the request takes no argument, touches no memory, and returns a new descriptor,
// closed on exec, that nobody else owns.
unsafe impl Ioctl for Namespace {
    type Output = OwnedFd;

    const IS_MUTATING: bool = false;

    fn opcode(&self) -> Opcode {
        GET_NAMESPACE
    }

    fn as_ptr(&mut self) -> *mut c_void {
        std::ptr::null_mut()
    }

    unsafe fn output_from_ptr(output: IoctlOutput, _: *mut c_void) -> Result<OwnedFd> {
        // SAFETY: rustix calls this only with what a successful request returned.
        Ok(unsafe { OwnedFd::from_raw_fd(output) })
    }
}
