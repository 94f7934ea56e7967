//! The tree of a template. Every expression knows the bytes of the template it was written in.

mod expression;
mod lexer;
mod statement;

use std::sync::Arc;

use super::Value;
use super::error::Error;

pub(super) use lexer::Delimiters;

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
    Positive(Box<Expression>),
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
    Include { names: Expression, ignore_missing: bool, with_context: bool },
    Import { from: Expression, name: Arc<str>, with_context: bool },
    FromImport { from: Expression, names: Vec<(Arc<str>, Arc<str>)>, with_context: bool },
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

/// The statements of `text`, from the byte `start` on.
pub(super) fn parse(text: &str, start: usize, delimiters: &Delimiters) -> Result<Block, Error> {
    Parser::new(lexer::tokens(text, start, delimiters)?, text.len()).template()
}

/// `text` as one expression, without delimiters.
pub(super) fn parse_expression(text: &str) -> Result<Expression, Error> {
    let mut parser = Parser::new(lexer::expression_tokens(text)?, text.len());
    let expression = parser.expression()?;
    parser.end()?;
    Ok(expression)
}

/// Reads tokens; `expression.rs` and `statement.rs` hold the grammar.
struct Parser {
    tokens: Vec<lexer::Spanned>,
    position: usize,
    length: usize,
    depth: usize,
}

use lexer::Token;

impl Parser {
    fn new(tokens: Vec<lexer::Spanned>, length: usize) -> Self {
        Self { tokens, position: 0, length, depth: 0 }
    }

    fn peek(&self) -> &Token {
        self.tokens.get(self.position).map_or(&Token::End, |token| &token.token)
    }

    fn peek_after(&self) -> &Token {
        self.tokens.get(self.position + 1).map_or(&Token::End, |token| &token.token)
    }

    fn next(&mut self) -> Token {
        let token = self.tokens.get(self.position).map_or(Token::End, |token| token.token.clone());
        self.position += 1;
        token
    }

    /// Where the next token is.
    fn here(&self) -> Range {
        let end = u32::try_from(self.length).unwrap_or(u32::MAX);
        self.tokens.get(self.position).map_or((end, end), |token| token.at)
    }

    /// From `start` to the end of the last token read.
    fn since(&self, start: Range) -> Range {
        (start.0, self.tokens.get(self.position.wrapping_sub(1)).map_or(start.1, |token| token.at.1))
    }

    fn is_operator(&self, operator: &str) -> bool {
        matches!(self.peek(), Token::Operator(found) if *found == operator)
    }

    fn is_word(&self, word: &str) -> bool {
        matches!(self.peek(), Token::Name(found) if **found == *word)
    }

    fn take_operator(&mut self, operator: &str) -> bool {
        let found = self.is_operator(operator);
        self.position += usize::from(found);
        found
    }

    fn take_word(&mut self, word: &str) -> bool {
        let found = self.is_word(word);
        self.position += usize::from(found);
        found
    }

    fn expect_operator(&mut self, operator: &str) -> Result<(), Error> {
        if self.take_operator(operator) { Ok(()) } else { Err(self.unexpected(&format!("`{operator}`"))) }
    }

    fn expect_word(&mut self, word: &str) -> Result<(), Error> {
        if self.take_word(word) { Ok(()) } else { Err(self.unexpected(&format!("`{word}`"))) }
    }

    fn name(&mut self) -> Result<Arc<str>, Error> {
        match self.peek() {
            Token::Name(name) => {
                let name = Arc::clone(name);
                self.position += 1;
                Ok(name)
            }
            _ => Err(self.unexpected("a name")),
        }
    }

    fn end(&self) -> Result<(), Error> {
        if *self.peek() == Token::End { Ok(()) } else { Err(self.unexpected("the end of the expression")) }
    }

    /// The error that the next token is not `expected`.
    fn unexpected(&self, expected: &str) -> Error {
        Error::syntax(format!("expected {expected}, found {}", self.peek())).within(self.here())
    }
}
