//! Limits of this process.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Allows as many open files as the system lets us: every host is a connection, and the usual 1024 end at about 500 hosts.
pub(super) fn raise() {
    let limit = getrlimit(Resource::Nofile);
    // Where it is refused, the first connection that does not fit says so.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}
