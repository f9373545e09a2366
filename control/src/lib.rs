//! The control side of hypertun: a topology file in, tables and a running instance out.

pub mod check;
pub mod diagnostic;
pub mod model;
