//! Deploy: the whole pipeline round the plays, from the lock to the metrics.

pub mod config;
pub mod setting;
