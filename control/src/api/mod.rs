//! The admin API: JSON over HTTP on the instance's Unix socket.
//!
//! One thread, one current-thread runtime; whatever waits for a worker waits on a thread of its own.

mod attach;
pub mod client;
mod clock;

use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use axum::extract::{DefaultBodyLimit, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use dataplane::worker::Gone;
use rustix::event::{EventfdFlags, eventfd};
use serde::{Deserialize, Serialize};
use tokio::net::UnixListener;
use tokio::sync::{Notify, oneshot};

use crate::check;
use crate::docker::{Driver, Plugin};
use crate::observe;
use crate::observe::metrics::{Metrics, OPENMETRICS};
use crate::runtime::emulator::Emulator;

pub use attach::{Attach, Detach, Detached};
pub use clock::{Advance, ClockReading, Scale};

/// How many flows to list.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Limit {
    /// At most so many; 10,000 unless given.
    pub limit: Option<usize>,
}

/// A topology to run instead.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Apply {
    /// What faults call the file.
    pub file: String,
    /// What stands in it.
    pub text: String,
    /// Whether what is wrong with it is to be told in colour.
    #[serde(default)]
    pub colour: bool,
}

/// What a new topology changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// Each thing that differs: `+`, `~` or `-`, its section and its name.
    pub changes: Vec<String>,
    /// What is worth knowing about it, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub warnings: String,
}

/// A problem, as the API tells it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Problem {
    /// One sentence.
    pub error: String,
    /// What was found in a topology, fault by fault, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub faults: String,
}

/// Why the API did not start.
#[derive(Debug, thiserror::Error)]
#[error("cannot serve {path}: {source}")]
pub struct Error {
    path: String,
    source: io::Error,
}

/// The server of a running instance. Dropping it ends it.
#[derive(Debug)]
pub struct Server {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    down: Arc<OwnedFd>,
}

impl Server {
    /// Serves `emulator` on the Unix socket `path`, mode 0600, and its metrics on `scraped` too, for
    /// everybody who reaches it; and container engines, if it is to.
    ///
    /// # Errors
    ///
    /// When the socket cannot be made.
    pub fn start(
        path: &Path,
        emulator: Arc<Emulator>,
        scraped: Option<TcpListener>,
        engines: Option<(Plugin, Driver)>,
    ) -> Result<Self, Error> {
        let failed = |source| Error { path: path.display().to_string(), source };
        let down = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK);
        let down = Arc::new(down.map_err(|e| failed(e.into()))?);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(failed)?;
        let (listener, scraped) = {
            let _inside = runtime.enter();
            // Whoever connects before the mode is set has opened a directory that is ours alone.
            let listener = UnixListener::bind(path).map_err(failed)?;
            std::fs::set_permissions(path, PermissionsExt::from_mode(0o600)).map_err(failed)?;
            let scraped = scraped.map(|listener| {
                listener.set_nonblocking(true)?;
                tokio::net::TcpListener::from_std(listener)
            });
            (listener, scraped.transpose().map_err(failed)?)
        };
        let (stop, stopped) = oneshot::channel();
        let attached = Arc::new(Notify::new());
        // Some may be attached since before a crash.
        attached.notify_one();
        let tended = attach::tend(emulator.clone(), attached.clone());
        let engines = serve_engines(engines);
        let context = Context { emulator, down: down.clone(), attached };
        let (router, open) = (router(context.clone()), open().with_state(context));
        let thread = std::thread::Builder::new().name("api".to_owned()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    // Only ever ends with an error that concerns no request.
                    _ = axum::serve(listener, router) => {}
                    () = serve_if(scraped, open) => {}
                    () = engines => {}
                    () = tended => {}
                    _ = stopped => {}
                }
            });
        });
        Ok(Self { stop: Some(stop), thread: Some(thread.map_err(failed)?), down })
    }

    /// Polls readable once somebody has asked the instance to end.
    #[must_use]
    pub fn asked_to_end(&self) -> BorrowedFd<'_> {
        self.down.as_fd()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // Its panic was reported where it happened.
            let _ = thread.join();
        }
    }
}

#[derive(Clone)]
struct Context {
    emulator: Arc<Emulator>,
    down: Arc<OwnedFd>,
    /// Told when an interface is attached.
    attached: Arc<Notify>,
}

/// The largest topology file, with room for what JSON makes of its letters.
#[expect(clippy::cast_possible_truncation, reason = "a constant of 128 MiB")]
const LARGEST_BODY: usize = 2 * check::LARGEST_FILE as usize;

/// What anybody may know.
fn open() -> Router<Context> {
    Router::new().route("/health", get(|| async { "ok\n" })).route("/metrics", get(openmetrics))
}

async fn serve_if(listener: Option<tokio::net::TcpListener>, router: Router) {
    match listener {
        Some(listener) => drop(axum::serve(listener, router).await),
        None => std::future::pending().await,
    }
}

async fn serve_engines(engines: Option<(Plugin, Driver)>) {
    match engines {
        Some((plugin, driver)) => {
            if let Err(error) = plugin.serve(driver).await {
                tracing::warn!("Docker is not served any more: {error}");
            }
        }
        None => std::future::pending().await,
    }
}

fn router(context: Context) -> Router {
    open()
        .route("/v1/metrics", get(metrics))
        .route("/v1/status", get(status))
        .route("/v1/flows", get(flows))
        .route("/v1/drops", get(drops))
        .route("/v1/clock", get(clock::show))
        .route("/v1/clock/advance", post(clock::advance))
        .route("/v1/clock/pause", post(clock::pause))
        .route("/v1/clock/resume", post(clock::resume))
        .route("/v1/clock/scale", post(clock::scale))
        .route("/v1/apply", post(apply).layer(DefaultBodyLimit::max(LARGEST_BODY)))
        .route("/v1/attach", post(attach::attach))
        .route("/v1/detach", post(attach::detach))
        .route("/v1/down", post(down))
        .with_state(context)
}

async fn status(State(context): State<Context>) -> Response {
    answer(context, observe::status).await
}

async fn drops(State(context): State<Context>) -> Response {
    answer(context, observe::drops).await
}

async fn metrics(State(context): State<Context>) -> Response {
    answer(context, |emulator| Ok(Metrics::of(emulator)?.samples())).await
}

async fn openmetrics(State(context): State<Context>) -> Response {
    respond(context, |emulator| {
        let text = Metrics::of(emulator)?.text();
        Ok(([(header::CONTENT_TYPE, OPENMETRICS)], text).into_response())
    })
    .await
}

async fn flows(State(context): State<Context>, Query(Limit { limit }): Query<Limit>) -> Response {
    let limit = limit.unwrap_or(10_000);
    answer(context, move |emulator| observe::flows(emulator, limit)).await
}

async fn apply(State(context): State<Context>, Json(new): Json<Apply>) -> Response {
    let Apply { file, text, colour } = new;
    let applied = tokio::task::spawn_blocking(move || {
        let applied = context.emulator.apply(&text, &file).map_err(|error| Problem {
            error: error.to_string(),
            faults: error.found().map(|report| report.render(colour)).unwrap_or_default(),
        })?;
        Ok::<_, Problem>(Applied {
            changes: applied.changes.iter().map(ToString::to_string).collect(),
            warnings: applied.warnings.render(colour),
        })
    });
    match applied.await {
        Ok(Ok(applied)) => Json(applied).into_response(),
        Ok(Err(problem)) => (StatusCode::UNPROCESSABLE_ENTITY, Json(problem)).into_response(),
        Err(panicked) => problem(StatusCode::INTERNAL_SERVER_ERROR, &panicked.to_string()),
    }
}

async fn down(State(context): State<Context>) -> StatusCode {
    // A counter at its limit is readable already.
    let _ = rustix::io::write(&*context.down, &1_u64.to_ne_bytes());
    StatusCode::ACCEPTED
}

/// Runs what waits for workers beside the server.
async fn answer<T: Serialize + Send + 'static>(
    context: Context,
    question: impl FnOnce(&Emulator) -> Result<T, Gone> + Send + 'static,
) -> Response {
    respond(context, |emulator| Ok(Json(question(emulator)?).into_response())).await
}

async fn respond(
    context: Context,
    question: impl FnOnce(&Emulator) -> Result<Response, Gone> + Send + 'static,
) -> Response {
    match tokio::task::spawn_blocking(move || question(&context.emulator)).await {
        Ok(Ok(response)) => response,
        Ok(Err(gone)) => problem(StatusCode::INTERNAL_SERVER_ERROR, &gone.to_string()),
        Err(panicked) => problem(StatusCode::INTERNAL_SERVER_ERROR, &panicked.to_string()),
    }
}

fn problem(status: StatusCode, error: &str) -> Response {
    (status, Json(Problem { error: error.to_owned(), faults: String::new() })).into_response()
}
