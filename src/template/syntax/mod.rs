//! The tree of a template. Every expression knows the bytes of the template it was written in.
//!
//! [`rewrite`] puts what only Jinja reads into words that minijinja reads too; [`lower`] turns minijinja's tree, which borrows that
//! text and holds minijinja's values, into this one.

mod lower;
mod rewrite;

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use minijinja::syntax::SyntaxConfig;

use super::Value;
use super::error::Error;
use lower::Lowering;

/// Bytes of the template's text, from and to.
pub(super) type Range = (u32, u32);

/// An expression and where it was written.
#[derive(Debug)]
pub(super) struct Expression {
    pub(super) kind: Kind,
    pub(super) at: Range,
}

/// What an expression is.
#[derive(Debug)]
pub(super) enum Kind {
    Literal(Value),
    /// Text with a template in it, which Ansible allows in conditions: `when: x == "{{ y }}"`.
    Embedded(Block),
    Name(Arc<str>),
    Attribute(Box<Expression>, Arc<str>),
    Item(Box<Expression>, Box<Expression>),
    Slice(Box<Expression>, Box<[Option<Expression>; 3]>),
    Call(Box<Expression>, Arguments),
    /// Without a subject only in `{% filter %}` and `{% set %}` blocks, where the body is the subject.
    Filter(Option<Box<Expression>>, Arc<str>, Arguments),
    Test(Box<Expression>, Arc<str>, Arguments),
    Not(Box<Expression>),
    Negative(Box<Expression>),
    Binary(Operator, Box<Expression>, Box<Expression>),
    Concat(Vec<Expression>),
    Compare(Box<Expression>, Vec<(Comparison, Expression)>),
    And(Box<Expression>, Box<Expression>),
    Or(Box<Expression>, Box<Expression>),
    If(Box<Expression>, Box<Expression>, Option<Box<Expression>>),
    List(Vec<Expression>),
    Tuple(Vec<Expression>),
    Dict(Vec<(Expression, Expression)>),
}

/// The arguments of a call, a filter or a test.
#[derive(Debug, Default)]
pub(super) struct Arguments {
    pub(super) positional: Vec<Expression>,
    pub(super) named: Vec<(Arc<str>, Expression)>,
    pub(super) unpacked: Option<Box<Expression>>,
    pub(super) unpacked_named: Option<Box<Expression>>,
}

/// Arithmetic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    FloorDivide,
    Modulo,
    Power,
}

/// Comparisons, which chain: `1 < x < 3`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    In,
    NotIn,
}

/// A sequence of statements.
pub(super) type Block = Vec<Statement>;

/// What a template does in order.
#[derive(Debug)]
pub(super) enum Statement {
    Text(Arc<str>),
    Print(Expression),
    If(Vec<(Expression, Block)>, Block),
    For(Arc<For>),
    Set(Target, Expression),
    SetBlock(Target, Option<Expression>, Block),
    With(Vec<(Target, Expression)>, Block),
    Macro(Arc<Macro>),
    CallBlock(Expression, Arc<Macro>),
    Filter(Expression, Block),
    Include { names: Expression, ignore_missing: bool },
    Import { from: Expression, name: Arc<str> },
    FromImport { from: Expression, names: Vec<(Arc<str>, Arc<str>)> },
    Extends(Expression),
    Block(Arc<NamedBlock>),
    Do(Expression),
    Break,
    Continue,
}

/// `{% for %}`.
#[derive(Debug)]
pub(super) struct For {
    pub(super) target: Target,
    pub(super) iterable: Expression,
    pub(super) condition: Option<Expression>,
    pub(super) body: Block,
    pub(super) otherwise: Block,
    pub(super) recursive: bool,
}

/// What is assigned to.
#[derive(Debug)]
pub(super) enum Target {
    Name(Arc<str>),
    Tuple(Vec<Target>, Range),
    /// `ns.name`, of a namespace.
    Attribute(Arc<str>, Arc<str>, Range),
}

/// `{% macro %}` or the body of `{% call %}`.
#[derive(Debug)]
pub(super) struct Macro {
    pub(super) name: Arc<str>,
    pub(super) parameters: Vec<(Arc<str>, Option<Expression>)>,
    pub(super) body: Block,
}

/// `{% block %}`.
#[derive(Debug)]
pub(super) struct NamedBlock {
    pub(super) name: Arc<str>,
    pub(super) body: Block,
}

/// What marks statements, expressions and comments, and how white space round them is treated.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Delimiters {
    pub(super) block: (String, String),
    pub(super) variable: (String, String),
    pub(super) comment: (String, String),
    /// Drop the line feed after a statement.
    pub(super) trim_blocks: bool,
    /// Drop blanks before a statement at the start of a line.
    pub(super) lstrip_blocks: bool,
    /// Keep backslashes in the text of `{{ 'a\d' }}`, as Ansible does for templates inside YAML.
    pub(super) literal_backslashes: bool,
    /// Keep a line feed at the very end.
    pub(super) keep_trailing_newline: bool,
    /// What a line feed outside of all marks becomes.
    pub(super) newline: &'static str,
}

impl Default for Delimiters {
    fn default() -> Self {
        let pair = |begin: &str, end: &str| (begin.to_owned(), end.to_owned());
        Self {
            block: pair("{%", "%}"),
            variable: pair("{{", "}}"),
            comment: pair("{#", "#}"),
            trim_blocks: true,
            lstrip_blocks: false,
            literal_backslashes: true,
            keep_trailing_newline: false,
            newline: "\n",
        }
    }
}

impl Delimiters {
    fn config(&self) -> Result<SyntaxConfig, minijinja::Error> {
        SyntaxConfig::builder()
            .block_delimiters(self.block.0.clone(), self.block.1.clone())
            .variable_delimiters(self.variable.0.clone(), self.variable.1.clone())
            .comment_delimiters(self.comment.0.clone(), self.comment.1.clone())
            .trim_blocks(self.trim_blocks)
            .lstrip_blocks(self.lstrip_blocks)
            .keep_trailing_newline(self.keep_trailing_newline)
            .build()
    }
}

/// A tree, and the names in it that only a table knows.
pub(super) struct Parsed<T> {
    pub(super) tree: T,
    pub(super) names: Vec<Named>,
}

/// What the name of a filter, a test or a lookup was written as, and where.
#[derive(Debug)]
pub(super) struct Named {
    pub(super) what: What,
    pub(super) name: Arc<str>,
    pub(super) at: Range,
}

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Filter,
    Test,
    Lookup,
}

/// The statements of `text`, from the byte `start` on.
pub(super) fn parse(text: &str, start: usize, delimiters: &Delimiters) -> Result<Parsed<Block>, Error> {
    let part = text.get(start..).unwrap_or_default();
    let rewritten = rewrite::template(part, delimiters);
    let config = delimiters.config().map_err(|error| refused(&error, &rewritten, start))?;
    let tree = minijinja::machinery::parse(&rewritten.text, "template", config).map_err(|error| refused(&error, &rewritten, start))?;
    let names = RefCell::default();
    let lowering = Lowering {
        text: part,
        rewritten: &rewritten,
        start,
        literal: delimiters.literal_backslashes,
        condition: false,
        newline: delimiters.newline,
        names: &names,
        depth: &Cell::default(),
    };
    let lowered = lowering.template(&tree);
    kept_if_deep(tree, lowered.is_err());
    Ok(Parsed { tree: lowered?, names: names.into_inner() })
}

/// `text` as one expression, without delimiters.
pub(super) fn parse_expression(text: &str) -> Result<Parsed<Expression>, Error> {
    let rewritten = rewrite::expression(text);
    let tree = minijinja::machinery::parse_expr(&rewritten.text).map_err(|error| refused(&error, &rewritten, 0))?;
    let names = RefCell::default();
    let depth = Cell::default();
    let lowering =
        Lowering { text, rewritten: &rewritten, start: 0, literal: false, condition: true, newline: "\n", names: &names, depth: &depth };
    let lowered = lowering.expression(&tree);
    kept_if_deep(tree, lowered.is_err());
    Ok(Parsed { tree: lowered?, names: names.into_inner() })
}

/// Does not drop a tree that was refused: minijinja drops one as deeply as it is nested, and too deeply is one of the reasons.
fn kept_if_deep<T>(tree: T, refused: bool) {
    if refused {
        std::mem::forget(tree);
    }
}

/// The parser's error, in terms of the whole text.
fn refused(error: &minijinja::Error, rewritten: &rewrite::Rewritten<'_>, start: usize) -> Error {
    let message = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    let refused = Error::syntax(message);
    let at = |offset: usize| {
        let written = rewritten.original(u32::try_from(offset).unwrap_or(u32::MAX));
        written.saturating_add(u32::try_from(start).unwrap_or(u32::MAX))
    };
    match error.range() {
        Some(range) => refused.within((at(range.start), at(range.end))),
        None => refused,
    }
}
