//! The one integration binary.

mod ssh;
mod support;
mod vault;
