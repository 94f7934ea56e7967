//! What the user wrote: playbooks, roles and inventories, read but not yet resolved or templated.
//!
//! Everything that may hold a template is still a [`Node`](crate::text::Node); `plan` compiles it.

pub mod inventory;
mod keyword;
mod playbook;
mod role;
mod task;

pub use inventory::{Group, Host, Inventory};
pub use keyword::{Keyword, KeywordSpec, Keywords, Level};
pub use playbook::{Entry, Import, Play, Playbook, Prompt};
pub use role::{Role, RoleRef};
pub use task::{Action, Args, Block, Item, Task};
