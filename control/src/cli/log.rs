//! Logs: to standard error, never per packet.

use tracing_subscriber::EnvFilter;

/// Sends logs to standard error: warnings, or what `RUST_LOG` says.
pub fn to_standard_error() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // It would tell standard error that it cannot write to standard error, and panic.
    let subscriber = subscriber.log_internal_errors(false);
    // Only a second subscriber could be refused.
    let _ = subscriber.try_init();
}
