//! TLS: rustls, with what public and private servers speak today and no more.
//!
//! It is not in the worker that every host gets: only in the controller, and in a program of its own, `rappel-tls`, which a host is
//! sent when a task first asks for `https`. What both say to each other is [`Terms`].

#[cfg(feature = "tls")]
mod client;
#[cfg(feature = "tls")]
mod relay;
mod terms;

#[cfg(feature = "tls")]
pub use client::secured;
#[cfg(feature = "tls")]
pub use relay::main;
pub use terms::Terms;
