//! What does a topology file say, as written?

mod tree;
