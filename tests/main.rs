//! The one integration binary.

mod modules;
mod ssh;
mod support;
mod vault;
