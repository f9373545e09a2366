//! The emulated clock, as the API tells and changes it.

use std::time::{Duration, SystemTime};

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use dataplane::time::{Clock, FASTEST, Reading, SLOWEST};
use serde::{Deserialize, Serialize};

use crate::api::{Context, answer, problem};
use crate::runtime::emulator::Emulator;

/// The emulated clock, as the API tells it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClockReading {
    /// Emulated seconds since the instance began.
    pub seconds: f64,
    /// How many times as fast as real time it runs, when it is not paused.
    pub scale: f64,
    /// Whether it stands still.
    pub paused: bool,
    /// Emulated wall time (RFC 3339): that of the start, and what has passed since.
    pub time: String,
}

/// How far to move the clock.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Advance {
    /// Milliseconds.
    pub milliseconds: u64,
}

/// How fast the clock is to run.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Scale {
    /// So many times as fast as real time; [`SLOWEST`] to [`FASTEST`].
    pub scale: f64,
}

/// The furthest that the clock is advanced at once: every timer is far shorter, and workers go
/// through each second of it.
const FURTHEST: Duration = Duration::from_secs(366 * 24 * 3600);

pub(super) async fn show(State(context): State<Context>) -> Json<ClockReading> {
    let Context { emulator, .. } = context;
    Json(reading(emulator.began(), emulator.clock().read()))
}

pub(super) async fn advance(State(context): State<Context>, Json(by): Json<Advance>) -> Response {
    let by = Duration::from_millis(by.milliseconds);
    if by > FURTHEST {
        let refused = "the clock is advanced by at most 366 days at a time";
        return problem(StatusCode::UNPROCESSABLE_ENTITY, refused);
    }
    change(context, move |clock| clock.advance(by)).await
}

pub(super) async fn pause(State(context): State<Context>) -> Response {
    change(context, Clock::pause).await
}

pub(super) async fn resume(State(context): State<Context>) -> Response {
    change(context, Clock::resume).await
}

pub(super) async fn scale(
    State(context): State<Context>,
    Json(Scale { scale }): Json<Scale>,
) -> Response {
    if !(SLOWEST..=FASTEST).contains(&scale) {
        let refused = format!("the clock runs {SLOWEST} to {FASTEST} times as fast as real time");
        return problem(StatusCode::UNPROCESSABLE_ENTITY, &refused);
    }
    change(context, move |clock| clock.scale(scale)).await
}

async fn change(context: Context, to: impl FnOnce(&Clock) -> Reading + Send + 'static) -> Response {
    let changed = |emulator: &Emulator| Ok(reading(emulator.began(), emulator.change_clock(to)?));
    answer(context, changed).await
}

/// The last second that RFC 3339 can tell, after 1970.
const YEAR_9999: Duration = Duration::from_secs(253_402_300_799);

fn reading(began: SystemTime, reading: Reading) -> ClockReading {
    let Reading { elapsed, pace } = reading;
    let last = SystemTime::UNIX_EPOCH + YEAR_9999;
    let time = began.checked_add(elapsed).map_or(last, |time| time.min(last));
    ClockReading {
        seconds: elapsed.as_secs_f64(),
        scale: pace.scale,
        paused: pace.paused,
        time: humantime::format_rfc3339_millis(time).to_string(),
    }
}
