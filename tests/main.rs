//! The one integration binary.

mod bad;
mod modules;
mod ssh;
mod support;
mod vault;

mod deploy;
