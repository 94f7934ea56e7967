//! [`Context`]: what a task inherits from the play, role and blocks around it.

use std::path::PathBuf;
use std::sync::Arc;

use super::{Role, Vars};
use crate::model::Keyword;
use crate::template::Expr;
use crate::text::Node;

/// A condition, and its text for `false_condition`.
#[derive(Clone, Debug)]
pub struct Condition {
    /// Compiled.
    pub expr: Expr,
    /// As written.
    pub text: Node,
}

/// Inherited keywords, resolved when the plan is made: the nearest wins, except for those that add up.
#[derive(Clone, Debug, Default)]
pub struct Context {
    /// The nearest value of every keyword that simply overrides.
    pub keywords: Vec<(Keyword, Arc<Expr>)>,
    /// All conditions, outermost first.
    pub when: Vec<Arc<Condition>>,
    /// All tags.
    pub tags: Vec<String>,
    /// Variables of blocks and the task, outermost first.
    pub vars: Vec<Arc<Vars>>,
    /// Variables of includes and imports, outermost first: they beat nearly everything.
    pub include_vars: Vec<Arc<Vars>>,
    /// `environment`, outermost first.
    pub environment: Vec<Arc<Expr>>,
    /// `module_defaults`, outermost first.
    pub module_defaults: Vec<Arc<Expr>>,
    /// `notify`, outermost first.
    pub notify: Vec<Arc<Expr>>,
    /// Collections to look names up in.
    pub collections: Vec<String>,
    /// The role the task belongs to.
    pub role: Option<Arc<Role>>,
    /// The directory of the file that the task stands in.
    pub dir: PathBuf,
    /// `vars:` of the play, for tags that are templates.
    pub play_vars: Arc<Vars>,
}

impl Context {
    /// The nearest value of `keyword`.
    pub fn keyword(&self, keyword: Keyword) -> Option<&Expr> {
        self.keywords.iter().find(|(found, _)| *found == keyword).map(|(_, expr)| &**expr)
    }

    /// Puts the nearest value of `keyword` in front.
    pub fn set(&mut self, keyword: Keyword, expr: Expr) {
        self.keywords.retain(|(found, _)| *found != keyword);
        self.keywords.push((keyword, Arc::new(expr)));
    }

    /// Forgets `keyword`.
    pub fn unset(&mut self, keyword: Keyword) {
        self.keywords.retain(|(found, _)| *found != keyword);
    }
}

/// Keywords that belong to the task itself and are never handed down.
pub(super) const OWN: &[Keyword] = &[
    Keyword::Name,
    Keyword::Register,
    Keyword::Loop,
    Keyword::LoopControl,
    Keyword::Until,
    Keyword::Retries,
    Keyword::Delay,
    Keyword::ChangedWhen,
    Keyword::FailedWhen,
    Keyword::Args,
    Keyword::Async,
    Keyword::Poll,
    Keyword::Listen,
];
