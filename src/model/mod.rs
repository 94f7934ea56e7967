//! What the user wrote: playbooks, roles and inventories, read but not yet resolved or templated.
//!
//! Everything that may hold a template is still a [`Node`](crate::text::Node); `plan` compiles it.

mod args;
mod include;
pub mod inventory;
mod keyword;
mod loader;
mod pattern;
mod playbook;
mod reader;
mod role;
mod split;
mod task;

pub use args::pairs;
pub use inventory::{Group, Host, Inventory};
pub use keyword::{Keyword, KeywordSpec, Keywords, Level, Shape};
pub use loader::{DuplicateKeys, Loader, Variables};
pub use pattern::Pattern;
pub use playbook::{Entry, Import, Play, Playbook, Prompt};
pub use reader::KEYWORD_TYPE;
pub use role::{Role, RoleRef, RoleSource};
pub use split::inline_options;
pub use task::{Action, Args, Block, Item, Task};
