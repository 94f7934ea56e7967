//! Rappel deploys Ansible playbooks to whole fleets over native SSH, or puts every host back.
//!
//! One `pub mod` per layer, in the order data flows: text → model → plan → run → event → report, on the ground of
//! `regex`, `wire`, `machine` and `module`, which the agent on the hosts shares. ARCHITECTURE.md is the tour.

#[cfg(feature = "agent")]
pub mod regex;

#[cfg(any(feature = "agent", feature = "tls"))]
pub mod tls;

#[cfg(feature = "agent")]
pub mod wire;

#[cfg(feature = "agent")]
pub mod machine;

#[cfg(feature = "agent")]
pub mod module;

#[cfg(feature = "agent")]
pub mod agent;

#[cfg(feature = "controller")]
pub mod text;

#[cfg(feature = "controller")]
pub mod model;

#[cfg(feature = "controller")]
pub mod template;

#[cfg(feature = "controller")]
pub mod bridge;

#[cfg(feature = "controller")]
pub mod plan;

#[cfg(feature = "controller")]
pub mod check;

#[cfg(feature = "controller")]
pub mod event;

#[cfg(feature = "controller")]
pub mod ssh;

#[cfg(feature = "controller")]
pub mod run;

#[cfg(feature = "controller")]
pub mod deploy;

#[cfg(feature = "controller")]
pub mod report;

#[cfg(feature = "controller")]
pub mod lab;

#[cfg(feature = "controller")]
pub mod cli;
