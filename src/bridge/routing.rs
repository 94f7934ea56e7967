//! Where modules went that ansible-core or a collection no longer has: `plugin_routing` of its `runtime.yml`.

use std::collections::HashMap;
use std::path::Path;

use crate::text::{Diagnostics, Node, NodeKind, Sources, yaml};

/// The new name by the old one.
pub(super) type Routes = HashMap<String, String>;

/// How often a name may lead to another; Ansible's own chains are shorter.
pub(super) const LONGEST: usize = 8;

/// The redirects of modules in the `runtime.yml` at `path`; none where there is no such file.
pub(super) fn read(path: &Path) -> Routes {
    let sources = Sources::default();
    // Mistakes in it are those of whoever made the collection.
    let node = sources.read(path).ok().and_then(|id| yaml::parse_one(&sources, id, &mut Diagnostics::default()));
    let modules = node.as_ref().and_then(|node| node.get("plugin_routing")?.get("modules")).map(|node| &node.kind);
    let Some(NodeKind::Map(modules)) = modules else { return Routes::new() };
    let route = |(name, entry): &(Node, Node)| Some((name.as_str()?.to_owned(), entry.get("redirect")?.as_str()?.to_owned()));
    modules.iter().filter_map(route).collect()
}
