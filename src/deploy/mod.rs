//! Deploy: the whole pipeline round the plays, from the lock to the metrics.

pub mod config;
pub mod fleet;
pub mod history;
pub mod http;
pub mod lock;
pub mod metrics;
pub mod observer;
pub mod preflight;
pub mod registry;
pub mod runner;
pub mod setting;
