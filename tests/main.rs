//! The one integration binary.

mod bad;
mod inventory;
mod modules;
mod output;
mod reference;
mod semantics;
mod ssh;
mod support;
mod tidy;
mod vault;

mod deploy;
