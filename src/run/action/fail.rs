//! Fails, with a message.
//!
//! ```yaml
//! - fail: {msg: "`version` is needed"}
//!   when: version is undefined
//! ```

use super::prelude::*;

pub(super) const REVERSIBLE: Reversible = Reversible::ReadOnly;

params! {
    pub struct Fail {
        /// Why.
        msg: Value = "Failed as requested from task",
    }
}

pub(super) async fn run(call: ActionCall<'_>) -> Result<Answer, Trouble> {
    let params: Fail = call.decode()?;
    // Not as the text of the failure: a list stays a list.
    Err(Failure::new("").with("msg", params.msg).into())
}
