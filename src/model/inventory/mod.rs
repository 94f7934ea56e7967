//! [`Inventory`]: hosts, groups, and the variables written for them.
//!
//! It is a graph that sources add to one after another, and that `add_host` and `group_by` add to while a run goes on.
//! [`load`](Inventory::load) reads the sources; [`select`](Inventory::select) finds the hosts of a pattern;
//! [`vars`](Inventory::vars) lists what is written for a host, in the order of precedence.

mod group_vars;
mod ini;
mod load;
mod range;
mod script;
mod yaml;

use std::path::PathBuf;
use std::sync::Arc;

use indexmap::{IndexMap, IndexSet};

pub use group_vars::{Origin, VarsDir, VarsFrom};
pub use load::{IGNORE_EXTENSIONS, InvalidGroupChars, NoPlugins, Options, Plugins, Reading, sanitized};
pub use script::{NoScripts, Scripts};

use super::Variables;
use crate::text::{Node, NodeKind, Span, Spanned};

/// The group of every host.
pub const ALL: &str = "all";
/// The group of the hosts that are in no other.
pub const UNGROUPED: &str = "ungrouped";
/// The names that mean the machine rappel runs on, where no inventory says otherwise.
pub const LOCALHOST: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// A host.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Host {
    /// Its name in the inventory: `inventory_hostname`.
    pub name: String,
    /// Where it was first written.
    pub span: Span,
    /// The source that brought it: `inventory_file`, whose folder is `inventory_dir`.
    pub source: Option<PathBuf>,
    /// The groups it was put into directly.
    pub groups: IndexSet<String>,
    /// Variables written beside its name.
    pub vars: Arc<Variables>,
    /// Nobody wrote it down: `localhost` by default, reached without SSH and not part of `all`.
    pub implicit: bool,
}

/// A group of hosts.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// Where it was first written.
    pub span: Span,
    /// Groups directly inside it.
    pub children: IndexSet<String>,
    /// Groups that it is directly inside.
    pub parents: IndexSet<String>,
    /// Hosts directly inside it.
    pub hosts: IndexSet<String>,
    /// Variables written for it in an inventory source.
    pub vars: Arc<Variables>,
    /// `ansible_group_priority`: among groups of the same depth, the higher overrides.
    pub priority: i64,
    /// The longest way up to `all`.
    pub depth: u32,
}

impl Group {
    fn new(name: &str, span: Span) -> Self {
        Self {
            name: name.to_owned(),
            span,
            children: IndexSet::new(),
            parents: IndexSet::new(),
            hosts: IndexSet::new(),
            vars: Arc::default(),
            priority: 1,
            depth: 0,
        }
    }
}

/// Hosts and groups. Clones are independent and share variables.
#[derive(Clone, Debug)]
pub struct Inventory {
    hosts: IndexMap<String, Host>,
    groups: IndexMap<String, Group>,
    /// Mappings of the same name go into each other (`hash_behaviour = merge`).
    merging: bool,
    /// More sources are to be read: what is in no group yet may come into one.
    loading: bool,
    /// `group_vars` and `host_vars` beside the sources, in the order of the sources.
    beside: Vec<Arc<VarsDir>>,
    /// The local machine by each of its names, for when a pattern names it and no source does.
    localhost: [Host; 3],
}

impl Default for Inventory {
    fn default() -> Self {
        let groups = [ALL, UNGROUPED].map(|name| (name.to_owned(), Group::new(name, Span::default())));
        let localhost = LOCALHOST.map(|name| Host { name: name.to_owned(), implicit: true, ..Host::default() });
        let mut inventory =
            Self { hosts: IndexMap::new(), groups: IndexMap::from(groups), merging: false, loading: false, beside: Vec::new(), localhost };
        inventory.adopt(ALL, UNGROUPED);
        inventory
    }
}

/// Why a group cannot become part of another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cycle {
    /// The way from the would-be child down to the would-be parent.
    pub path: Vec<String>,
}

impl Inventory {
    /// All hosts, in the order in which sources named them.
    pub fn hosts(&self) -> impl ExactSizeIterator<Item = &Host> {
        self.hosts.values()
    }

    /// All groups, in the order in which sources named them; `all` and `ungrouped` come first.
    pub fn groups(&self) -> impl ExactSizeIterator<Item = &Group> {
        self.groups.values()
    }

    /// The host `name`. The names of the local machine are always known, and mean the same host.
    pub fn host(&self, name: &str) -> Option<&Host> {
        self.hosts.get(name).or_else(|| {
            let implicit = self.localhost.iter().find(|host| host.name == name)?;
            LOCALHOST.iter().find_map(|local| self.hosts.get(*local)).or(Some(implicit))
        })
    }

    /// The group `name`.
    pub fn group(&self, name: &str) -> Option<&Group> {
        self.groups.get(name)
    }

    /// The names of the hosts in `group` and in all groups inside it: its own first, then level by level.
    pub fn members(&self, group: &str) -> IndexSet<&str> {
        let reached = self.walk(group, |group| &group.children);
        reached.iter().filter_map(|name| self.groups.get(*name)).flat_map(|group| &group.hosts).map(String::as_str).collect()
    }

    /// The groups of a host, direct or not, in the order in which their variables override each other: `all` first.
    pub fn groups_of(&self, host: &Host) -> Vec<&Group> {
        let mut names: IndexSet<&str> = IndexSet::from([ALL]);
        for group in &host.groups {
            names.extend(self.walk(group, |group| &group.parents));
        }
        let mut groups: Vec<_> = names.into_iter().filter_map(|name| self.groups.get(name)).collect();
        groups.sort_by(|a, b| (a.depth, a.priority, &a.name).cmp(&(b.depth, b.priority, &b.name)));
        groups
    }

    /// `group_names`: the groups of a host but `all`, sorted.
    pub fn group_names(&self, host: &Host) -> Vec<&str> {
        let mut names: Vec<_> = self.groups_of(host).into_iter().map(|group| group.name.as_str()).filter(|name| *name != ALL).collect();
        names.sort_unstable();
        names
    }

    /// `start` and all that `next` leads to from there, level by level.
    fn walk<'a>(&'a self, start: &'a str, next: impl Fn(&'a Group) -> &'a IndexSet<String>) -> IndexSet<&'a str> {
        let mut reached: IndexSet<&str> = self.groups.get(start).map(|group| group.name.as_str()).into_iter().collect();
        let mut at = 0;
        while let Some(group) = reached.get_index(at).and_then(|name| self.groups.get(*name)) {
            reached.extend(next(group).iter().map(String::as_str));
            at += 1;
        }
        reached
    }

    /// Adds a host, or more groups and variables to one that is known: what `add_host` does. Unknown groups are made.
    ///
    /// Returns whether anything is new.
    pub fn add_host(&mut self, name: &str, groups: &[String], vars: Variables) -> bool {
        let known = self.hosts.contains_key(name);
        let host = self.host_entry(&Spanned::new(name.to_owned(), Span::default()));
        let before = Arc::clone(&host.vars);
        set_vars(&mut host.vars, vars, false);
        let mut news = !known || before != host.vars;
        for group in groups {
            news |= self.add_to_group(name, group);
        }
        self.regroup(name);
        news
    }

    /// Puts a host into a group, which is made where it is unknown: what `group_by` does. Returns whether it was not in there.
    pub fn add_to_group(&mut self, host: &str, group: &str) -> bool {
        if !self.hosts.contains_key(host) {
            return false;
        }
        self.group_entry(&Spanned::new(group.to_owned(), Span::default()));
        let news = self.put(host, group);
        self.settle_group(group);
        self.regroup(host);
        news
    }

    /// Puts one group inside another, both made where unknown: `group_by` with `parents`.
    ///
    /// # Errors
    /// [`Cycle`] if the parent is inside the child.
    pub fn add_child(&mut self, parent: &str, child: &str) -> Result<(), Cycle> {
        for name in [parent, child] {
            self.group_entry(&Spanned::new(name.to_owned(), Span::default()));
        }
        self.nest(parent, child)?;
        self.settle_group(parent);
        self.settle_group(child);
        Ok(())
    }

    /// The host `name`, new if need be.
    fn host_entry(&mut self, name: &Spanned<String>) -> &mut Host {
        let new = || Host { name: name.value.clone(), span: name.span, ..Host::default() };
        self.hosts.entry(name.value.clone()).or_insert_with(new)
    }

    /// The group `name`, new if need be.
    fn group_entry(&mut self, name: &Spanned<String>) -> &mut Group {
        self.groups.entry(name.value.clone()).or_insert_with(|| Group::new(&name.value, name.span))
    }

    /// Puts a host into a group; both exist. Returns whether that is new.
    fn put(&mut self, host: &str, group: &str) -> bool {
        if let (Some(member), Some(group)) = (self.hosts.get_mut(host), self.groups.get_mut(group)) {
            member.groups.insert(group.name.clone());
            return group.hosts.insert(member.name.clone());
        }
        false
    }

    /// Puts `child` inside `parent`; both exist.
    fn nest(&mut self, parent: &str, child: &str) -> Result<(), Cycle> {
        if let Some(path) = self.way_down(child, parent) {
            return Err(Cycle { path });
        }
        self.adopt(parent, child);
        Ok(())
    }

    fn adopt(&mut self, parent: &str, child: &str) {
        if let Some(group) = self.groups.get_mut(parent) {
            group.children.insert(child.to_owned());
        }
        if let Some(group) = self.groups.get_mut(child) {
            group.parents.insert(parent.to_owned());
        }
        self.deepen(child);
    }

    /// The way from `from` through children to `to`.
    fn way_down(&self, from: &str, to: &str) -> Option<Vec<String>> {
        if from == to {
            return Some(vec![from.to_owned()]);
        }
        // Upwards from the goal: there are few ancestors, and no cycle yet.
        let parents = &self.groups.get(to)?.parents;
        let mut path = parents.iter().find_map(|parent| self.way_down(from, parent))?;
        path.push(to.to_owned());
        Some(path)
    }

    /// Brings the depth of `name` and of everything inside it up to date after it got a parent.
    fn deepen(&mut self, name: &str) {
        let depth_of = |name: &String| self.groups.get(name).map_or(0, |group| group.depth);
        let Some(group) = self.groups.get(name) else { return };
        let depth = group.parents.iter().map(|parent| depth_of(parent) + 1).max().unwrap_or(0);
        let children: Vec<_> = group.children.iter().cloned().collect();
        if depth != group.depth {
            if let Some(group) = self.groups.get_mut(name) {
                group.depth = depth;
            }
            for child in &children {
                self.deepen(child);
            }
        }
    }

    /// Puts every group without a parent into `all`, and every host without a group into `ungrouped`.
    fn settle(&mut self) {
        self.loading = false;
        let groups: Vec<_> = self.groups.keys().cloned().collect();
        for group in &groups {
            self.settle_group(group);
        }
        let hosts: Vec<_> = self.hosts.keys().cloned().collect();
        for host in &hosts {
            self.regroup(host);
        }
    }

    fn settle_group(&mut self, name: &str) {
        if !self.loading && name != ALL && self.groups.get(name).is_some_and(|group| group.parents.is_empty()) {
            self.adopt(ALL, name);
        }
    }

    /// Puts a host into `ungrouped`, or out of it, by what other groups it is in.
    fn regroup(&mut self, name: &str) {
        let Some(host) = self.hosts.get_mut(name) else { return };
        let grouped = host.groups.iter().any(|group| group != ALL && group != UNGROUPED);
        if !grouped {
            self.put(name, UNGROUPED);
        } else if host.groups.shift_remove(UNGROUPED)
            && let Some(ungrouped) = self.groups.get_mut(UNGROUPED)
        {
            ungrouped.hosts.shift_remove(name);
        }
    }

    /// Sets variables of a group; `ansible_group_priority` becomes its priority.
    fn set_group_vars(&mut self, group: &str, vars: Variables) {
        let Some(group) = self.groups.get_mut(group) else { return };
        let (priorities, vars): (Variables, Variables) = vars.into_iter().partition(|(name, _)| name.value == "ansible_group_priority");
        if let Some(priority) = priorities.iter().rev().find_map(|(_, value)| whole_number(value)) {
            group.priority = priority;
        }
        set_vars(&mut group.vars, vars, self.merging);
    }
}

fn whole_number(node: &Node) -> Option<i64> {
    match &node.kind {
        NodeKind::Int(number) => Some(*number),
        NodeKind::Str(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// Adds `new` to `vars`; a later value replaces an earlier one of the same name, or goes into it if both are mappings and `merging`.
fn set_vars(vars: &mut Arc<Variables>, new: Variables, merging: bool) {
    if new.is_empty() {
        return;
    }
    let vars = Arc::make_mut(vars);
    for (name, value) in new {
        match vars.iter_mut().find(|(known, _)| known.value == name.value) {
            Some(known) if merging => *known = (name, merged(&known.1, value)),
            Some(known) => *known = (name, value),
            None => vars.push((name, value)),
        }
    }
}

/// The mapping `above` put into the mapping `below`; anything else replaces what is below it.
fn merged(below: &Node, above: Node) -> Node {
    let (NodeKind::Map(known), NodeKind::Map(new)) = (&below.kind, &above.kind) else { return above };
    let mut entries = known.clone();
    for (key, value) in new {
        match entries.iter_mut().find(|(known, _)| known.kind == key.kind) {
            Some((_, before)) => *before = merged(before, value.clone()),
            None => entries.push((key.clone(), value.clone())),
        }
    }
    Node::new(NodeKind::Map(entries), above.span)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names<'a>(groups: impl IntoIterator<Item = &'a Group>) -> Vec<&'a str> {
        groups.into_iter().map(|group| group.name.as_str()).collect()
    }

    #[test]
    fn groups_override_by_depth_then_priority_then_name() {
        let mut inventory = Inventory::default();
        inventory.add_host("h", &["b".into(), "a".into(), "deep".into()], Vec::new());
        inventory.add_child("top", "deep").unwrap();
        assert_eq!(names(inventory.groups_of(inventory.host("h").unwrap())), ["all", "a", "b", "top", "deep"]);
        let priority = Node::new(NodeKind::Int(10), Span::default());
        inventory.set_group_vars("a", vec![(Spanned::new("ansible_group_priority".into(), Span::default()), priority)]);
        assert_eq!(names(inventory.groups_of(inventory.host("h").unwrap())), ["all", "b", "top", "a", "deep"]);
        assert_eq!(inventory.group_names(inventory.host("h").unwrap()), ["a", "b", "deep", "top"]);
    }

    #[test]
    fn depth_is_the_longest_way() {
        let mut inventory = Inventory::default();
        for (parent, child) in [("a", "c"), ("a", "b"), ("b", "c"), ("c", "d"), ("z", "a")] {
            inventory.add_child(parent, child).unwrap();
        }
        let depth = |name| inventory.group(name).unwrap().depth;
        assert_eq!(["z", "a", "b", "c", "d"].map(depth), [1, 2, 3, 4, 5]);
        assert_eq!(inventory.clone().add_child("d", "z").unwrap_err().path, ["z", "a", "c", "d"]);
        assert_eq!(inventory.clone().add_child("d", "d").unwrap_err().path, ["d"]);
    }

    #[test]
    fn hosts_come_and_join_groups_during_a_run() {
        let mut inventory = Inventory::default();
        assert!(inventory.add_host("new", &[], Vec::new()));
        assert!(!inventory.add_host("new", &[], Vec::new()));
        assert_eq!(inventory.members(UNGROUPED), IndexSet::from(["new"]));
        assert!(inventory.add_to_group("new", "web"));
        assert!(!inventory.add_to_group("new", "web"));
        assert!(!inventory.add_to_group("nobody", "web"));
        assert!(inventory.members(UNGROUPED).is_empty());
        assert_eq!(inventory.members(ALL), IndexSet::from(["new"]));
    }

    #[test]
    fn localhost_is_known_but_no_member() {
        let mut inventory = Inventory::default();
        assert!(inventory.host("127.0.0.1").unwrap().implicit);
        assert!(inventory.members(ALL).is_empty());
        inventory.add_host("localhost", &[], Vec::new());
        assert!(!inventory.host("localhost").unwrap().implicit);
        assert_eq!(inventory.host("127.0.0.1").unwrap().name, "localhost");
        assert!(inventory.host("elsewhere").is_none());
    }
}
