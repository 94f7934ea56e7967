//! What a Redis server says of itself.
//!
//! ```yaml
//! - redis_info:
//!   register: redis
//! - assert: {that: redis.info.role == 'master'}
//! ```

use super::prelude::*;
use super::redis::{Access, pairs};
use crate::wire::parse_float;

params! {
    pub struct RedisInfo {
        /// Ask about the cluster too.
        cluster: bool = false,
    }
    group = access: Access;
}

impl Module for RedisInfo {
    const REVERSIBLE: Reversible = Reversible::ReadOnly;

    fn run(self, machine: &mut Machine) -> Result<Outcome, Failure> {
        let outcome = machine.outcome().with("info", entries(&self.access.ask(machine, &["INFO"])?));
        if !self.cluster {
            return Ok(outcome);
        }
        Ok(outcome.with("cluster", entries(&self.access.ask(machine, &["CLUSTER", "INFO"])?)))
    }
}

/// Numbers as numbers; `db0:keys=1,expires=0` as mappings.
fn entries(text: &str) -> Map {
    pairs(text).map(|(name, value)| (name.to_owned(), typed(value))).collect()
}

fn typed(value: &str) -> Value {
    if value.contains('=') && !value.starts_with('/') {
        let fields: Option<Map> = value.split(',').map(|field| field.split_once('=').map(|(key, value)| (key.to_owned(), scalar(value)))).collect();
        if let Some(fields) = fields {
            return fields.into();
        }
    }
    scalar(value)
}

fn scalar(value: &str) -> Value {
    match (value.parse::<i64>(), parse_float(value)) {
        (Ok(number), _) => number.into(),
        // `1.5` is a number; `7.0.15` is not.
        (_, Some(number)) if value.contains('.') => Value::Float(number),
        _ => value.into(),
    }
}
