//! Logs: to standard error, never per packet.

use tracing_subscriber::EnvFilter;

/// Sends logs to standard error: warnings, or what `RUST_LOG` says.
pub fn to_standard_error() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // Only a second subscriber could be refused.
    let _ = subscriber.try_init();
}
