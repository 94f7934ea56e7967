//! The user that the agent runs as.

use super::{Source, put};
use crate::machine::owner::User;
use crate::wire::Map;

pub(super) fn collect(_source: &Source, facts: &mut Map) {
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    put(
        facts,
        [
            ("effective_user_id", uid.into()),
            ("effective_group_id", gid.into()),
            ("real_user_id", rustix::process::getuid().as_raw().into()),
            ("real_group_id", rustix::process::getgid().as_raw().into()),
        ],
    );
    let Some(user) = User::numbered(uid) else { return };
    put(
        facts,
        [
            ("user_id", user.name.into()),
            ("user_uid", user.uid.into()),
            ("user_gid", user.gid.into()),
            ("user_gecos", user.gecos.into()),
            ("user_dir", user.home.to_string_lossy().into_owned().into()),
            ("user_shell", user.shell.to_string_lossy().into_owned().into()),
        ],
    );
}
