//! Work for callgrind to count: `instructions CASE` takes batches down the path, and all that
//! matters of it happens inside [`counted`]. `benches/tests/instructions.rs` runs it and reads
//! what came out.

use std::hint::black_box;
use std::process::ExitCode;

use benches::decisions::{ROUND, Routes, Rules};
use benches::ours::Instance;
use benches::ring::Batch;
use benches::{BATCH, Cheated, Floor, Pages, Path, Profile, Ring, Size};
use dataplane::wire::tcp::flags::ACK;

/// How many turns are counted, after as many that are not.
const TURNS: usize = 8;

/// Sessions that are known in each case.
const KNOWN: Profile = Profile::NAT44[0];

type Case = fn() -> Result<(), Cheated>;

/// What can be counted: a name, and the turns.
const CASES: [(&str, Case); 15] = [
    ("floor-64b", || floor(KNOWN)),
    ("hit-nat44-64b", || hits(KNOWN)),
    ("hit-nat44-imix", || hits(Profile { size: Size::Imix, ..KNOWN })),
    ("hit-nat44-64b-reply", || replies(KNOWN)),
    ("hit-ip4-64b", || hits(KNOWN.without_nat())),
    ("hit-ip6-64b", || hits(KNOWN.without_nat().in_ipv6())),
    ("hit-nat64-64b", || hits(KNOWN.in_ipv6())),
    ("hit-nat64-64b-reply", || replies(KNOWN.in_ipv6())),
    ("hit-hyperplane-64b", || hits(KNOWN.by_hyperplane())),
    ("first-packet-nat44", || first_packets(Path::Nat44)),
    ("first-packet-ip4", || first_packets(Path::Ip4)),
    ("decision-1-rule", || decisions(&Rules::one())),
    ("decision-300-rules", || decisions(&Rules::many())),
    ("route-of-5", || routes(&Routes::of(5))),
    ("route-of-500", || routes(&Routes::of(500))),
];

const _: () = assert!(ROUND == TURNS * BATCH, "as many packets in each case");

fn main() -> ExitCode {
    let name = std::env::args().nth(1);
    let Some((_, count)) = CASES.iter().find(|(case, _)| name.as_deref() == Some(*case)) else {
        // Whoever wants to know what there is asks without a name.
        CASES.iter().for_each(|(case, _)| println!("{case}"));
        return if name.is_none() { ExitCode::SUCCESS } else { ExitCode::from(2) };
    };
    match count() {
        Ok(()) => {
            println!("{}", TURNS * BATCH);
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("instructions: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Packets of known flows, each of which has had one before.
fn hits(profile: Profile) -> Result<(), Cheated> {
    let sessions: Vec<u32> = (0..profile.sessions()).collect();
    let mut ours = Instance::of(&profile).worker(0, sessions.len());
    ours.establish(&profile, &sessions)?;
    let ring = Ring::of(&profile);
    ours.run(&ring);
    turns(|batch| ours.turn(batch), &ring);
    ours.check(sessions.len())
}

/// What comes back from the server.
fn replies(profile: Profile) -> Result<(), Cheated> {
    let sessions: Vec<u32> = (0..profile.sessions()).collect();
    let mut ours = Instance::of(&profile).worker(0, sessions.len());
    ours.establish(&profile, &sessions)?;
    let mut ring = Ring::default();
    ours.replies(&Ring::of(&profile), ACK, Some(64), &mut ring)?;
    ours.run(&ring);
    turns(|batch| ours.turn(batch), &ring);
    ours.check(sessions.len())
}

/// First packets, where as many flows are known as are opened; no table doubles meanwhile.
fn first_packets(path: Path) -> Result<(), Cheated> {
    let profile = Profile { path, ..KNOWN };
    let all = u32::try_from(TURNS * BATCH).expect("few packets") + profile.sessions();
    let sessions: Vec<u32> = (0..all).collect();
    let (known, new) = sessions.split_at(profile.sessions() as usize);
    let mut ours = Instance::of(&profile).worker(0, sessions.len());
    ours.establish(&profile, known)?;
    turns(|batch| ours.turn(batch), &Ring::opening(&profile, new));
    ours.check(sessions.len())
}

/// The least that hits can cost.
fn floor(profile: Profile) -> Result<(), Cheated> {
    let mut floor = Floor::new(&profile, Pages::Small);
    turns(|batch| floor.turn(batch), &Ring::of(&profile));
    floor.check()
}

/// What security groups and ACLs say.
#[expect(clippy::unnecessary_wraps, reason = "as all cases")]
fn decisions(rules: &Rules) -> Result<(), Cheated> {
    counted(|| black_box(rules.round()));
    Ok(())
}

/// Which route is taken.
#[expect(clippy::unnecessary_wraps, reason = "as all cases")]
fn routes(routes: &Routes) -> Result<(), Cheated> {
    counted(|| black_box(routes.round()));
    Ok(())
}

fn turns(turn: impl FnMut(Batch<'_>), ring: &Ring) {
    counted(|| ring.batches().take(TURNS).for_each(turn));
}

/// Counting is on in here alone.
#[inline(never)]
fn counted<T>(work: impl FnOnce() -> T) -> T {
    work()
}
