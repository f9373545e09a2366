//! Interfaces that are given to what runs already, as the API does it.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::api::{Context, problem};
use crate::attach::{Attached, Error, Target};
use crate::runtime::emulator::Emulator;

/// An interface to be given.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Attach {
    /// Which network interface.
    pub name: String,
    /// To whom.
    pub to: Target,
    /// Whether default routes of others go.
    pub replace_default: bool,
}

/// An interface to be taken back.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Detach {
    /// Which network interface.
    pub name: String,
}

/// One that was taken back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Detached {
    /// From whom.
    pub from: Target,
}

pub(super) async fn attach(State(context): State<Context>, Json(attach): Json<Attach>) -> Response {
    let Attach { name, to, replace_default } = attach;
    let attached = context.attached.clone();
    change(context, move |emulator| {
        let told: Attached = emulator.attach(&name, to, replace_default)?;
        attached.notify_one();
        Ok(told)
    })
    .await
}

pub(super) async fn detach(State(context): State<Context>, Json(detach): Json<Detach>) -> Response {
    let taken = move |emulator: &Emulator| Ok(Detached { from: emulator.detach(&detach.name)? });
    change(context, taken).await
}

async fn change<T: Serialize + Send + 'static>(
    context: Context,
    change: impl FnOnce(&Emulator) -> Result<T, Error> + Send + 'static,
) -> Response {
    match tokio::task::spawn_blocking(move || change(&context.emulator)).await {
        Ok(Ok(told)) => Json(told).into_response(),
        Ok(Err(refused)) => problem(StatusCode::UNPROCESSABLE_ENTITY, &refused.to_string()),
        Err(panicked) => problem(StatusCode::INTERNAL_SERVER_ERROR, &panicked.to_string()),
    }
}

/// How often to look whether those who have an interface are there still.
const LOOK: Duration = Duration::from_millis(500);

/// Takes interfaces back from those who end, from the first that is attached on.
pub(super) async fn tend(emulator: Arc<Emulator>, attached: Arc<Notify>) {
    loop {
        attached.notified().await;
        loop {
            tokio::time::sleep(LOOK).await;
            let emulator = emulator.clone();
            let looked = tokio::task::spawn_blocking(move || emulator.take_back_from_ended());
            if !looked.await.unwrap_or(false) {
                break;
            }
        }
    }
}
