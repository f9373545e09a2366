//! Is the topology right, and what does it say in full?

mod checked;

pub use checked::*;
