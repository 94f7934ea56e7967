//! The plan: what will be done, before anything is touched. Imports and roles are unrolled, keywords inherited, every
//! expression compiled, every parameter checked against its module's declaration.
//!
//! What can only be known on a host (loops, conditions, dynamic includes) stays an [`Expr`]; the run asks [`Compiler`]
//! again when an include gives it a file.

mod check;
mod compile;
mod conform;
mod context;
mod misuse;
mod play;
mod reserved;
mod roles;
pub mod scope;
mod select;
mod start;
mod work;

use std::path::PathBuf;
use std::sync::Arc;

use indexmap::IndexMap;

use crate::bridge::Foreign;
use crate::model::{Keyword, Prompt};
use crate::module;
use crate::template::{Expr, Value};
use crate::text::{Span, Spanned};

pub use compile::{Compiler, Piece, PlayScope};
pub use conform::conform;
pub use context::{Condition, Context};
pub use reserved::reserved_name;
pub use roles::{RoleFiles, RoleRequest};
pub use select::Selection;

/// Variables by name, each compiled.
pub type Vars = IndexMap<String, Arc<Expr>>;

/// Everything that will be done.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// The plays of all playbooks, imports unrolled, in order.
    pub plays: Vec<Arc<Play>>,
}

/// One play.
#[derive(Clone, Debug)]
pub struct Play {
    /// The whole play.
    pub span: Span,
    /// Its playbook file.
    pub file: PathBuf,
    /// Its directory: `playbook_dir`.
    pub dir: PathBuf,
    /// Its name.
    pub name: Option<Expr>,
    /// The pattern of its hosts.
    pub hosts: Expr,
    /// What tasks inherit from it.
    pub context: Arc<Context>,
    /// Fact gathering, `pre_tasks`, roles, tasks and `post_tasks` with the flushes between, as one tree.
    pub body: Arc<Block>,
    /// `handlers:` and the handlers of static roles, in the order they run.
    pub handlers: Vec<Arc<Handler>>,
    /// `vars:`.
    pub vars: Arc<Vars>,
    /// `vars_files:`; each a name, or a list of alternatives.
    pub vars_files: Vec<Expr>,
    /// `vars_prompt:`.
    pub prompts: Vec<Prompt>,
    /// Roles whose variables the whole play sees.
    pub roles: Vec<Arc<Role>>,
    /// Collections to look names up in.
    pub collections: Vec<String>,
}

impl Play {
    /// A play on all hosts that is nothing but `body`, as if written in `dir`.
    pub fn of(dir: PathBuf, body: Arc<Block>) -> Self {
        Self {
            span: Span::default(),
            file: PathBuf::new(),
            dir,
            name: None,
            hosts: Expr::Literal(Value::from("all"), Span::default()),
            context: Arc::default(),
            body,
            handlers: Vec::new(),
            vars: Arc::default(),
            vars_files: Vec::new(),
            prompts: Vec::new(),
            roles: Vec::new(),
            collections: Vec::new(),
        }
    }

    /// What the play says for `keyword`.
    pub fn keyword(&self, keyword: Keyword) -> Option<&Expr> {
        self.context.keyword(keyword)
    }
}

/// Tasks with what to do on failure and at the end.
#[derive(Clone, Debug, Default)]
pub struct Block {
    /// Where it was written, if a user wrote it.
    pub span: Option<Span>,
    /// Its name.
    pub name: Option<Expr>,
    /// The tasks.
    pub tasks: Vec<Item>,
    /// What to do on failure; `None` where nothing was written.
    pub rescue: Option<Vec<Item>>,
    /// What to do in any case.
    pub always: Vec<Item>,
    /// The role that is complete when this block is.
    pub role: Option<Arc<Role>>,
    /// `rappel_transaction`, where the block itself carries it.
    pub transaction: Option<Arc<Expr>>,
}

/// One entry of a block.
#[derive(Clone, Debug)]
pub enum Item {
    /// A task.
    Step(Arc<Step>),
    /// A block.
    Block(Arc<Block>),
}

/// A role as one mention of it: what its tasks see.
#[derive(Debug, Default)]
pub struct Role {
    /// Tells two mentions of a role apart: only the same mention is skipped as a duplicate.
    pub identity: String,
    /// Its name as shown.
    pub name: String,
    /// Its directory.
    pub path: PathBuf,
    /// Its collection.
    pub collection: Option<String>,
    /// `defaults/main.yml`.
    pub defaults: Vars,
    /// `vars:` of the mention, then `vars/main.yml`.
    pub vars: Vars,
    /// Parameters of the mention.
    pub params: Vars,
    /// The roles that brought this one in as a dependency or by an include, outermost first.
    pub parents: Vec<Arc<Role>>,
    /// Whether an include or an import brought it.
    pub nested: bool,
    /// May run again for the same host.
    pub allow_duplicates: bool,
    /// What its dependencies define, in order: stronger than what the parents define, weaker than the role's own.
    pub dependencies: std::sync::OnceLock<Vec<RoleVars>>,
}

/// What a dependency hands to the role that depends on it.
#[derive(Clone, Debug, Default)]
pub struct RoleVars {
    /// Its `defaults`.
    pub defaults: Vars,
    /// Its `vars`.
    pub vars: Vars,
}

/// One task, compiled.
#[derive(Debug)]
pub struct Step {
    /// The whole task.
    pub span: Span,
    /// Its name.
    pub name: Option<Expr>,
    /// The module as written.
    pub module: Spanned<String>,
    /// What it does.
    pub work: Work,
    /// Parameters by canonical name.
    pub params: Vec<(Spanned<String>, Expr)>,
    /// One expression that gives all parameters.
    pub whole: Option<Expr>,
    /// Everything inherited, with the task's own keywords in front.
    pub context: Arc<Context>,
    /// What surrounds the task, without its own keywords: dynamic includes compile in it.
    pub outer: Arc<Context>,
    /// Why it fails as soon as it would run ([`Mistakes::AtTask`]).
    pub mistake: Option<String>,
    /// The loop.
    pub looped: Option<Loop>,
    /// Variable that takes the result.
    pub register: Option<Spanned<String>>,
    /// It runs in handlers.
    pub handler: bool,
    /// `rescue` or `always` where it stands in one.
    pub section: Option<&'static str>,
    /// `rappel_undo`: the task that undoes this one in a transaction.
    pub undo: Option<Arc<Step>>,
}

impl Step {
    /// What holds for `keyword` here, inherited or not.
    pub fn keyword(&self, keyword: Keyword) -> Option<&Expr> {
        self.context.keyword(keyword)
    }

    /// The parameter `name`.
    pub fn param(&self, name: &str) -> Option<&Expr> {
        self.params.iter().find(|(found, _)| found.value == name).map(|(_, expr)| expr)
    }
}

/// When a task's own mistakes are told: a parameter that its module does not know, one that is missing or of a wrong type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mistakes {
    /// All at once, before any host is touched; but for what only templates tell. What `rappel play` does.
    #[default]
    BeforeRun,
    /// As a failure of that task, which `ignore_errors` and `rescue` see. What a call as `ansible-playbook` does.
    AtTask,
}

/// What a task does.
#[derive(Clone)]
pub enum Work {
    /// A module of the agent.
    Module(&'static module::Entry),
    /// Something on the controller.
    Action(&'static ActionSpec),
    /// The module's name is a template: [`Compiler::work_named`] tells when it is known.
    Named,
    /// A module of the project, of a collection or of ansible-core, over the bridge.
    Foreign(Arc<Foreign>),
}

impl Work {
    /// The module's canonical short name.
    pub fn name(&self) -> &str {
        match self {
            Self::Module(entry) => entry.name,
            Self::Action(spec) => spec.name,
            Self::Foreign(foreign) => &foreign.name,
            Self::Named => "",
        }
    }

    /// Whether it takes parameters of any name.
    pub fn is_open(&self) -> bool {
        matches!(self, Self::Foreign(_) | Self::Action(ActionSpec { open: true, .. }))
    }

    /// The declaration of its parameters.
    pub fn spec(&self) -> module::Spec {
        match self {
            Self::Module(entry) => entry.spec,
            Self::Action(action) => action.spec,
            Self::Foreign(_) => module::Spec::OPEN,
            Self::Named => module::Spec { params: &[], free_form: None, rules: &[] },
        }
    }

    /// How well its work can be undone.
    pub fn reversible(&self) -> module::Reversible {
        match self {
            Self::Module(entry) => entry.reversible,
            Self::Action(spec) => spec.reversible,
            Self::Foreign(_) | Self::Named => module::Reversible::Impossible,
        }
    }
}

impl std::fmt::Debug for Work {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.name())
    }
}

/// A controller-side action as the plan knows it; `run::action` has what it does.
#[derive(Clone, Copy, Debug)]
pub struct ActionSpec {
    /// Its short name.
    pub name: &'static str,
    /// Other names for it.
    pub aliases: &'static [&'static str],
    /// Its parameters.
    pub spec: module::Spec,
    /// It takes parameters of any name (`set_fact`).
    pub open: bool,
    /// How well its work can be undone.
    pub reversible: module::Reversible,
    /// Its source file, whose `//!` head is the documentation.
    pub source: &'static str,
}

/// A loop.
#[derive(Clone, Debug)]
pub struct Loop {
    /// `loop`, or the X of `with_X`.
    pub kind: Spanned<String>,
    /// The list, or the lookup's terms.
    pub items: Expr,
}

/// A handler: a task, or an include that brings more.
#[derive(Clone, Debug)]
pub struct Handler {
    /// The task. Its `listen` keyword has the topics.
    pub step: Arc<Step>,
}
