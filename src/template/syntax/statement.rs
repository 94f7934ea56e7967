//! The grammar of statements.

use std::sync::Arc;

use super::lexer::Token;
use super::{Block, Expression, For, Kind, Macro, NamedBlock, Parser, Range, Statement, Target};
use crate::template::error::Error;
use crate::text::did_you_mean;

/// Statements nested deeper than this are refused before the stack is used up.
const DEEPEST: usize = 60;

const STATEMENTS: &[&str] = &[
    "if",
    "for",
    "set",
    "with",
    "macro",
    "call",
    "filter",
    "include",
    "import",
    "from",
    "extends",
    "block",
    "do",
    "break",
    "continue",
    "autoescape",
    "raw",
];

impl Parser {
    /// The whole template.
    pub(super) fn template(&mut self) -> Result<Block, Error> {
        let (block, _) = self.block(&[])?;
        Ok(block)
    }

    /// Statements up to a tag that starts with one of `ends`, whose name is read; the rest of that tag is not.
    fn block(&mut self, ends: &[&str]) -> Result<(Block, Arc<str>), Error> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(Error::syntax("statements nested too deeply").within(self.here()));
        }
        let mut block = Vec::new();
        loop {
            let at = self.here();
            match self.next() {
                Token::End if ends.is_empty() => break,
                Token::End => {
                    let wanted: Vec<_> = ends.iter().map(|end| format!("`{end}`")).collect();
                    return Err(Error::syntax(format!("unexpected end of template, expected {}", wanted.join(" or "))).within(at));
                }
                Token::Data(text) => block.push(Statement::Text(text)),
                Token::VariableBegin => {
                    block.push(Statement::Print(self.tuple(true)?));
                    self.close(&Token::VariableEnd)?;
                }
                Token::BlockBegin => {
                    let at = self.here();
                    let word = self.name()?;
                    if ends.contains(&&*word) {
                        self.depth -= 1;
                        return Ok((block, word));
                    }
                    self.statement(&word, at, &mut block)?;
                }
                _ => return Err(Error::syntax("unexpected tag").within(at)),
            }
        }
        self.depth -= 1;
        Ok((block, "".into()))
    }

    /// A block whose end tag takes nothing more.
    fn body(&mut self, end: &str) -> Result<Block, Error> {
        self.close(&Token::BlockEnd)?;
        let (block, _) = self.block(&[end])?;
        self.close(&Token::BlockEnd)?;
        Ok(block)
    }

    fn close(&mut self, end: &Token) -> Result<(), Error> {
        if self.peek() == end {
            self.position += 1;
            return Ok(());
        }
        Err(self.unexpected(&end.to_string()))
    }

    fn statement(&mut self, word: &str, at: Range, block: &mut Block) -> Result<(), Error> {
        let statement = match word {
            "if" => self.if_statement()?,
            "for" => self.for_statement()?,
            "set" => self.set_statement()?,
            "with" => self.with_statement()?,
            "macro" => self.macro_statement()?,
            "call" => self.call_statement()?,
            "filter" => {
                let filter = self.filter_chain()?;
                Statement::Filter(filter, self.body("endfilter")?)
            }
            "autoescape" => {
                // Ansible never escapes, and text is the same either way for what this turns off.
                self.expression()?;
                block.append(&mut self.body("endautoescape")?);
                return Ok(());
            }
            "block" => self.block_statement()?,
            "include" | "import" | "from" | "extends" | "do" | "break" | "continue" => {
                let statement = self.simple_statement(word)?;
                self.close(&Token::BlockEnd)?;
                statement
            }
            _ => {
                let mut error = Error::syntax(format!("encountered unknown tag `{word}`")).within(at);
                if let Some(meant) = did_you_mean(word, STATEMENTS.iter().copied()) {
                    error = error.help(format!("did you mean `{meant}`?"));
                }
                return Err(error);
            }
        };
        block.push(statement);
        Ok(())
    }

    fn simple_statement(&mut self, word: &str) -> Result<Statement, Error> {
        Ok(match word {
            "include" => {
                let names = self.expression()?;
                let ignore_missing = self.take_word("ignore");
                if ignore_missing {
                    self.expect_word("missing")?;
                }
                Statement::Include { names, ignore_missing, with_context: self.context(true)? }
            }
            "import" => {
                let from = self.expression()?;
                self.expect_word("as")?;
                Statement::Import { from, name: self.name()?, with_context: self.context(false)? }
            }
            "from" => self.from_import()?,
            "extends" => Statement::Extends(self.expression()?),
            "break" => Statement::Break,
            "continue" => Statement::Continue,
            _ => Statement::Do(self.tuple(true)?),
        })
    }

    /// `with context`, `without context`, or nothing.
    fn context(&mut self, default: bool) -> Result<bool, Error> {
        let marked =
            (self.is_word("with") || self.is_word("without")) && matches!(self.peek_after(), Token::Name(word) if **word == *"context");
        if !marked {
            return Ok(default);
        }
        let with = self.take_word("with") || !self.take_word("without");
        self.expect_word("context")?;
        Ok(with)
    }

    fn from_import(&mut self) -> Result<Statement, Error> {
        let from = self.expression()?;
        self.expect_word("import")?;
        let mut names = Vec::new();
        let mut with_context = false;
        while *self.peek() != Token::BlockEnd {
            let marked = self.position;
            with_context = self.context(with_context)?;
            if self.position != marked {
                break;
            }
            let name = self.name()?;
            let alias = if self.take_word("as") { self.name()? } else { Arc::clone(&name) };
            names.push((name, alias));
            self.take_operator(",");
        }
        Ok(Statement::FromImport { from, names, with_context })
    }

    fn if_statement(&mut self) -> Result<Statement, Error> {
        let mut branches = Vec::new();
        let mut otherwise = Vec::new();
        let mut test = self.tuple(true)?;
        loop {
            self.close(&Token::BlockEnd)?;
            let (body, end) = self.block(&["elif", "else", "endif"])?;
            branches.push((test, body));
            match &*end {
                "elif" => test = self.tuple(true)?,
                "else" => {
                    otherwise = self.body("endif")?;
                    break;
                }
                _ => {
                    self.close(&Token::BlockEnd)?;
                    break;
                }
            }
        }
        Ok(Statement::If(branches, otherwise))
    }

    fn for_statement(&mut self) -> Result<Statement, Error> {
        let target = self.target()?;
        self.expect_word("in")?;
        let iterable = self.tuple(false)?;
        let condition = if self.take_word("if") { Some(self.expression()?) } else { None };
        let recursive = self.take_word("recursive");
        self.close(&Token::BlockEnd)?;
        let (body, end) = self.block(&["else", "endfor"])?;
        let otherwise = if *end == *"else" { self.body("endfor")? } else { Vec::new() };
        if *end != *"else" {
            self.close(&Token::BlockEnd)?;
        }
        Ok(Statement::For(Arc::new(For { target, iterable, condition, body, otherwise, recursive })))
    }

    fn set_statement(&mut self) -> Result<Statement, Error> {
        let target = self.target()?;
        if self.take_operator("=") {
            let value = self.tuple(true)?;
            self.close(&Token::BlockEnd)?;
            return Ok(Statement::Set(target, value));
        }
        let filter = if self.take_operator("|") { Some(self.filter_chain()?) } else { None };
        Ok(Statement::SetBlock(target, filter, self.body("endset")?))
    }

    fn with_statement(&mut self) -> Result<Statement, Error> {
        let mut assignments = Vec::new();
        while *self.peek() != Token::BlockEnd {
            if !assignments.is_empty() {
                self.expect_operator(",")?;
            }
            let target = self.one_target()?;
            self.expect_operator("=")?;
            assignments.push((target, self.expression()?));
        }
        Ok(Statement::With(assignments, self.body("endwith")?))
    }

    /// What is assigned to: `a`, `a, b`, `(a, b)`, `ns.a`.
    fn target(&mut self) -> Result<Target, Error> {
        let start = self.here();
        let first = self.one_target()?;
        if !self.is_operator(",") {
            return Ok(first);
        }
        let mut targets = vec![first];
        while self.take_operator(",") {
            if self.is_word("in") || self.is_operator("=") {
                break;
            }
            targets.push(self.one_target()?);
        }
        Ok(Target::Tuple(targets, self.since(start)))
    }

    fn one_target(&mut self) -> Result<Target, Error> {
        let start = self.here();
        if self.take_operator("(") {
            let inner = self.target()?;
            self.expect_operator(")")?;
            return Ok(inner);
        }
        let name = self.name()?;
        if matches!(&*name, "true" | "True" | "false" | "False" | "none" | "None") {
            return Err(Error::syntax(format!("cannot assign to `{name}`")).within(start));
        }
        if self.take_operator(".") {
            let attribute = self.name()?;
            return Ok(Target::Attribute(name, attribute, self.since(start)));
        }
        Ok(Target::Name(name))
    }

    fn parameters(&mut self) -> Result<Vec<(Arc<str>, Option<Expression>)>, Error> {
        self.expect_operator("(")?;
        let mut parameters = Vec::new();
        while !self.take_operator(")") {
            if !parameters.is_empty() {
                self.expect_operator(",")?;
                if self.take_operator(")") {
                    break;
                }
            }
            let name = self.name()?;
            let default = if self.take_operator("=") { Some(self.expression()?) } else { None };
            parameters.push((name, default));
        }
        Ok(parameters)
    }

    fn macro_statement(&mut self) -> Result<Statement, Error> {
        let name = self.name()?;
        let parameters = self.parameters()?;
        self.close(&Token::BlockEnd)?;
        let (body, _) = self.block(&["endmacro"])?;
        if matches!(self.peek(), Token::Name(_)) {
            self.position += 1;
        }
        self.close(&Token::BlockEnd)?;
        Ok(Statement::Macro(Arc::new(Macro { name, parameters, body })))
    }

    fn call_statement(&mut self) -> Result<Statement, Error> {
        let parameters = if self.is_operator("(") { self.parameters()? } else { Vec::new() };
        let call = self.expression()?;
        if !matches!(call.kind, Kind::Call(..)) {
            return Err(Error::syntax("expected a call").within(call.at));
        }
        let body = self.body("endcall")?;
        Ok(Statement::CallBlock(call, Arc::new(Macro { name: "caller".into(), parameters, body })))
    }

    fn block_statement(&mut self) -> Result<Statement, Error> {
        let name = self.name()?;
        while self.take_word("scoped") || self.take_word("required") {}
        self.close(&Token::BlockEnd)?;
        let (body, _) = self.block(&["endblock"])?;
        if matches!(self.peek(), Token::Name(_)) {
            self.position += 1;
        }
        self.close(&Token::BlockEnd)?;
        Ok(Statement::Block(Arc::new(NamedBlock { name, body })))
    }
}
