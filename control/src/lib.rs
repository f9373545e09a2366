//! The control side of hypertun: a topology file in, tables and a running instance out.

pub mod api;
pub mod attach;
pub mod check;
pub mod cli;
pub mod compile;
pub mod diagnostic;
pub mod docker;
pub mod endpoints;
pub mod explain;
pub mod model;
pub mod observe;
pub mod runtime;
