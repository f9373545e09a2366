//! Where does an engine find its driver? At a socket of a folder that it looks into, by HTTP (moby,
//! `docs/extend/plugin_api.md`).

use std::fs::{DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, State};
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::serve::IncomingStream;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::docker::driver::{Driver, Engine};
use crate::docker::refused::Refused;

/// Where engines look.
const FOLDER: &str = "/run/docker/plugins";

/// Under which name: that of the driver, `-d hypertun`.
const SOCKET: &str = "/run/docker/plugins/hypertun.sock";

/// An engine waits for 30 s, and its user with it.
const BUSY_AFTER: Duration = Duration::from_secs(4);

const CONTENT_TYPE: &str = "application/vnd.docker.plugins.v1.2+json";

/// Why engines cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Somebody else does.
    #[error("another instance serves Docker already, at {SOCKET}")]
    Taken,
    /// The socket cannot be made.
    #[error("cannot serve Docker at {SOCKET}: {0}")]
    Socket(#[from] io::Error),
}

/// The socket at which an engine finds its driver. Dropping it takes it away.
#[derive(Debug)]
pub struct Plugin {
    listener: UnixListener,
    /// Whether the folder was not there before.
    made_folder: bool,
}

impl Plugin {
    /// Makes the socket, in the place of one that a crash has left.
    ///
    /// # Errors
    ///
    /// When somebody serves it, or it cannot be made.
    pub fn listen() -> Result<Self, Error> {
        let made_folder = !Path::new(FOLDER).exists();
        DirBuilder::new().recursive(true).mode(0o755).create(FOLDER)?;
        let listener = match UnixListener::bind(SOCKET) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                if UnixStream::connect(SOCKET).is_ok() {
                    return Err(Error::Taken);
                }
                std::fs::remove_file(SOCKET)?;
                UnixListener::bind(SOCKET)?
            }
            made => made?,
        };
        let plugin = Self { listener, made_folder };
        std::fs::set_permissions(SOCKET, Permissions::from_mode(0o600))?;
        plugin.listener.set_nonblocking(true)?;
        Ok(plugin)
    }

    /// Serves `driver` there. To be called within a runtime.
    ///
    /// # Errors
    ///
    /// When the socket cannot be used.
    pub async fn serve(self, driver: Driver) -> io::Result<()> {
        let listener = tokio::net::UnixListener::from_std(self.listener.try_clone()?)?;
        let driver = Arc::new(Mutex::new(driver));
        let router = Router::new().fallback(call).with_state(driver);
        axum::serve(listener, router.into_make_service_with_connect_info::<Caller>()).await
    }
}

impl Drop for Plugin {
    fn drop(&mut self) {
        if Path::new(SOCKET).exists()
            && let Err(error) = std::fs::remove_file(SOCKET)
        {
            tracing::warn!("{SOCKET} is left: {error}");
        }
        if self.made_folder {
            // An engine that has come meanwhile keeps them.
            let folder = Path::new(FOLDER);
            let _ = std::fs::remove_dir(folder);
            let _ = folder.parent().map(std::fs::remove_dir);
        }
    }
}

/// Who is at the other end, by unix(7) `SO_PEERCRED`.
#[derive(Clone, Copy, Debug)]
struct Caller(Option<Engine>);

impl Connected<IncomingStream<'_, tokio::net::UnixListener>> for Caller {
    fn connect_info(stream: IncomingStream<'_, tokio::net::UnixListener>) -> Self {
        let credentials = stream.io().peer_cred().ok();
        Self(credentials.and_then(|it| Some(Engine { pid: it.pid()?, is_rootless: it.uid() != 0 })))
    }
}

async fn call(
    State(driver): State<Arc<Mutex<Driver>>>,
    ConnectInfo(Caller(engine)): ConnectInfo<Caller>,
    uri: Uri,
    body: Bytes,
) -> Response {
    let method = uri.path().trim_start_matches('/').to_owned();
    if let Some(told) = Driver::constant(&method) {
        return respond(&told);
    }
    let Ok(mut driver) = tokio::time::timeout(BUSY_AFTER, driver.lock_owned()).await else {
        return refuse(&Refused::Busy);
    };
    let called = move || {
        let answer = driver.call(&method, &body, engine);
        if let Some(Err(refused)) = &answer {
            tracing::warn!("Docker was refused {method}: {refused}");
        }
        answer
    };
    match tokio::task::spawn_blocking(called).await {
        Ok(Some(Ok(told))) => respond(&told),
        Ok(Some(Err(refused))) => refuse(&refused),
        Ok(None) => StatusCode::NOT_FOUND.into_response(),
        Err(panicked) => respond(&failure(&panicked)),
    }
}

fn refuse(refused: &Refused) -> Response {
    respond(&failure(refused))
}

/// Engines read the one of network drivers, the other of address drivers.
fn failure(error: &dyn std::error::Error) -> Value {
    let message = error.to_string();
    json!({"Err": message, "Error": message})
}

fn respond(told: &Value) -> Response {
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], told.to_string()).into_response()
}
