//! The other end of the API: what the commands of a running instance ask.

use std::io;
use std::path::{Path, PathBuf};

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use crate::api::Problem;
use crate::runtime::instance::Paths;

/// Why an instance did not answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing listens.
    #[error("no instance `{name}` is running; `hypertun up FILE --name {name}` starts one")]
    NotRunning {
        /// The name.
        name: String,
    },
    /// The socket is another user's.
    #[error("instance `{name}` belongs to another user: cannot connect to {}", path.display())]
    NotPermitted {
        /// The name.
        name: String,
        /// Its socket.
        path: PathBuf,
    },
    /// The connection broke.
    #[error("instance `{name}` did not answer: {problem}")]
    Broken {
        /// The name.
        name: String,
        /// What happened.
        problem: String,
    },
    /// The instance said no.
    #[error("{}", .0.error)]
    Refused(Problem),
}

/// A running instance, as seen from a command.
#[derive(Debug)]
pub struct Client {
    name: String,
    socket: PathBuf,
}

impl Client {
    /// The instance whose files are at `paths`.
    #[must_use]
    pub fn of(paths: &Paths) -> Self {
        Self { name: paths.name().to_string(), socket: paths.socket() }
    }

    /// Asks for `path`, such as `/v1/status`.
    ///
    /// # Errors
    ///
    /// When no instance answers, or not with this.
    pub fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Error> {
        let body = self.call(Method::GET, path, Bytes::new())?;
        serde_json::from_slice(&body).map_err(|e| self.broken(&e))
    }

    /// Asks for `path`, which is text.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn text(&self, path: &str) -> Result<String, Error> {
        let body = self.call(Method::GET, path, Bytes::new())?;
        String::from_utf8(body).map_err(|e| self.broken(&e))
    }

    /// Sends `value` to `path`, and returns what comes back.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn post(&self, path: &str, value: &impl Serialize) -> Result<Vec<u8>, Error> {
        let body = serde_json::to_vec(value).map_err(|e| self.broken(&e))?;
        self.call(Method::POST, path, body.into())
    }

    fn call(&self, method: Method, path: &str, body: Bytes) -> Result<Vec<u8>, Error> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|e| self.broken(&e))?;
        runtime.block_on(self.exchange(method, path, body))
    }

    async fn exchange(&self, method: Method, path: &str, body: Bytes) -> Result<Vec<u8>, Error> {
        let stream = connect(&self.socket).await.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                Error::NotRunning { name: self.name.clone() }
            }
            io::ErrorKind::PermissionDenied => {
                Error::NotPermitted { name: self.name.clone(), path: self.socket.clone() }
            }
            _ => self.broken(&error),
        })?;
        let connected = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = connected.map_err(|e| self.broken(&e))?;
        tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "hypertun")
            .header("content-type", "application/json")
            .body(Full::new(body))
            .map_err(|e| self.broken(&e))?;
        let response = sender.send_request(request).await.map_err(|e| self.broken(&e))?;
        let status = response.status();
        let body = response.into_body().collect().await.map_err(|e| self.broken(&e))?.to_bytes();
        if status.is_success() {
            return Ok(body.to_vec());
        }
        Err(match serde_json::from_slice::<Problem>(&body) {
            Ok(problem) => Error::Refused(problem),
            Err(_) => Error::Refused(Problem {
                error: format!("{status}: {}", String::from_utf8_lossy(&body)),
                faults: String::new(),
            }),
        })
    }

    fn broken(&self, problem: &dyn std::fmt::Display) -> Error {
        Error::Broken { name: self.name.clone(), problem: problem.to_string() }
    }
}

async fn connect(socket: &Path) -> io::Result<UnixStream> {
    UnixStream::connect(socket).await
}
