//! Keys and host keys.
