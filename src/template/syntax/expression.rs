//! The grammar of expressions, by Jinja's precedence.

use std::sync::Arc;

use super::lexer::Token;
use super::{Arguments, Comparison, Expression, Kind, Operator, Parser, Range};
use crate::template::Value;
use crate::template::error::Error;

/// Expressions nested deeper than this are refused before the stack is used up.
const DEEPEST: usize = 80;

impl Parser {
    /// One expression, with `x if y else z`.
    pub(super) fn expression(&mut self) -> Result<Expression, Error> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(Error::syntax("expressions nested too deeply").within(self.here()));
        }
        let start = self.here();
        let mut value = self.or()?;
        while self.take_word("if") {
            let test = self.or()?;
            let otherwise = if self.take_word("else") { Some(Box::new(self.expression()?)) } else { None };
            value = self.made(Kind::If(Box::new(test), Box::new(value), otherwise), start);
        }
        self.depth -= 1;
        Ok(value)
    }

    /// An expression, or a tuple without parentheses: `a, b`.
    pub(super) fn tuple(&mut self, with_condition: bool) -> Result<Expression, Error> {
        let start = self.here();
        let first = if with_condition { self.expression()? } else { self.or()? };
        if !self.is_operator(",") {
            return Ok(first);
        }
        let mut items = vec![first];
        while self.take_operator(",") {
            if self.at_tuple_end() {
                break;
            }
            items.push(if with_condition { self.expression()? } else { self.or()? });
        }
        Ok(self.made(Kind::Tuple(items), start))
    }

    fn at_tuple_end(&self) -> bool {
        matches!(self.peek(), Token::VariableEnd | Token::BlockEnd | Token::End) || self.is_operator(")") || self.is_word("recursive")
    }

    fn made(&self, kind: Kind, start: Range) -> Expression {
        Expression { kind, at: self.since(start) }
    }

    pub(super) fn or(&mut self) -> Result<Expression, Error> {
        let start = self.here();
        let mut left = self.and()?;
        while self.take_word("or") {
            let right = self.and()?;
            left = self.made(Kind::Or(Box::new(left), Box::new(right)), start);
        }
        Ok(left)
    }

    fn and(&mut self) -> Result<Expression, Error> {
        let start = self.here();
        let mut left = self.not()?;
        while self.take_word("and") {
            let right = self.not()?;
            left = self.made(Kind::And(Box::new(left), Box::new(right)), start);
        }
        Ok(left)
    }

    fn not(&mut self) -> Result<Expression, Error> {
        let start = self.here();
        if self.take_word("not") {
            let inner = self.not()?;
            return Ok(self.made(Kind::Not(Box::new(inner)), start));
        }
        self.comparison()
    }

    fn comparison(&mut self) -> Result<Expression, Error> {
        let start = self.here();
        let first = self.sum()?;
        let mut rest = Vec::new();
        while let Some(comparison) = self.comparison_operator() {
            rest.push((comparison, self.sum()?));
        }
        Ok(if rest.is_empty() { first } else { self.made(Kind::Compare(Box::new(first), rest), start) })
    }

    fn comparison_operator(&mut self) -> Option<Comparison> {
        let found = match self.peek() {
            Token::Operator("==") => Comparison::Equal,
            Token::Operator("!=") => Comparison::NotEqual,
            Token::Operator("<") => Comparison::Less,
            Token::Operator("<=") => Comparison::LessEqual,
            Token::Operator(">") => Comparison::Greater,
            Token::Operator(">=") => Comparison::GreaterEqual,
            Token::Name(word) if **word == *"in" => Comparison::In,
            Token::Name(word) if **word == *"not" && matches!(self.peek_after(), Token::Name(next) if **next == *"in") => {
                self.position += 1;
                Comparison::NotIn
            }
            _ => return None,
        };
        self.position += 1;
        Some(found)
    }

    fn sum(&mut self) -> Result<Expression, Error> {
        self.binary(&[("+", Operator::Add), ("-", Operator::Subtract)], Self::concat)
    }

    fn concat(&mut self) -> Result<Expression, Error> {
        let start = self.here();
        let first = self.product()?;
        if !self.is_operator("~") {
            return Ok(first);
        }
        let mut parts = vec![first];
        while self.take_operator("~") {
            parts.push(self.product()?);
        }
        Ok(self.made(Kind::Concat(parts), start))
    }

    fn product(&mut self) -> Result<Expression, Error> {
        let operators = [("*", Operator::Multiply), ("/", Operator::Divide), ("//", Operator::FloorDivide), ("%", Operator::Modulo)];
        self.binary(&operators, Self::power)
    }

    fn power(&mut self) -> Result<Expression, Error> {
        self.binary(&[("**", Operator::Power)], |parser| parser.unary(true))
    }

    fn binary(
        &mut self,
        operators: &[(&str, Operator)],
        operand: impl Fn(&mut Self) -> Result<Expression, Error>,
    ) -> Result<Expression, Error> {
        let start = self.here();
        let mut left = operand(self)?;
        while let Some((_, operator)) = operators.iter().find(|(sign, _)| self.is_operator(sign)) {
            self.position += 1;
            let right = operand(self)?;
            left = self.made(Kind::Binary(*operator, Box::new(left), Box::new(right)), start);
        }
        Ok(left)
    }

    /// A sign, or a primary with all that follows it; `-1|abs` filters the negative number, as in Jinja.
    fn unary(&mut self, with_filter: bool) -> Result<Expression, Error> {
        let start = self.here();
        let mut value = if self.take_operator("-") {
            let inner = Box::new(self.unary(false)?);
            self.made(Kind::Negative(inner), start)
        } else if self.take_operator("+") {
            let inner = Box::new(self.unary(false)?);
            self.made(Kind::Positive(inner), start)
        } else {
            self.primary()?
        };
        value = self.postfix(value, start)?;
        if with_filter { self.filters(value, start) } else { Ok(value) }
    }

    fn primary(&mut self) -> Result<Expression, Error> {
        let start = self.here();
        let kind = match self.peek().clone() {
            Token::Name(name) => {
                self.position += 1;
                match &*name {
                    "true" | "True" => Kind::Literal(Value::Bool(true)),
                    "false" | "False" => Kind::Literal(Value::Bool(false)),
                    "none" | "None" => Kind::Literal(Value::None),
                    _ => Kind::Name(name),
                }
            }
            Token::Str(text) => {
                self.position += 1;
                let mut text = text;
                while let Token::Str(more) = self.peek() {
                    text = format!("{text}{more}").into();
                    self.position += 1;
                }
                Kind::Literal(Value::Str(text))
            }
            Token::Int(number) => {
                self.position += 1;
                Kind::Literal(Value::Int(number))
            }
            Token::Float(number) => {
                self.position += 1;
                Kind::Literal(Value::Float(number))
            }
            Token::Operator("(") => return self.parenthesis(),
            Token::Operator("[") => {
                self.position += 1;
                let items = self.sequence("]", Self::expression)?;
                Kind::List(items)
            }
            Token::Operator("{") => {
                self.position += 1;
                Kind::Dict(self.sequence("}", |parser| {
                    let key = parser.expression()?;
                    parser.expect_operator(":")?;
                    Ok((key, parser.expression()?))
                })?)
            }
            _ => return Err(self.unexpected("an expression")),
        };
        Ok(self.made(kind, start))
    }

    fn parenthesis(&mut self) -> Result<Expression, Error> {
        let start = self.here();
        self.position += 1;
        if self.take_operator(")") {
            return Ok(self.made(Kind::Tuple(Vec::new()), start));
        }
        let mut inner = self.tuple(true)?;
        self.expect_operator(")")?;
        inner.at = self.since(start);
        Ok(inner)
    }

    /// Comma-separated parts up to and with `close`.
    fn sequence<T>(&mut self, close: &str, mut part: impl FnMut(&mut Self) -> Result<T, Error>) -> Result<Vec<T>, Error> {
        let mut parts = Vec::new();
        while !self.take_operator(close) {
            if !parts.is_empty() {
                if !self.take_operator(",") {
                    return Err(self.unexpected(&format!("`,` or `{close}`")));
                }
                if self.take_operator(close) {
                    break;
                }
            }
            parts.push(part(self)?);
        }
        Ok(parts)
    }

    pub(super) fn postfix(&mut self, mut value: Expression, start: Range) -> Result<Expression, Error> {
        loop {
            let kind = if self.take_operator(".") {
                match self.next() {
                    Token::Name(name) => Kind::Attribute(Box::new(value), name),
                    Token::Int(index) => {
                        let index = self.made(Kind::Literal(Value::Int(index)), self.here());
                        Kind::Item(Box::new(value), Box::new(index))
                    }
                    _ => {
                        self.position -= 1;
                        return Err(self.unexpected("a name or a number"));
                    }
                }
            } else if self.take_operator("[") {
                self.subscript(value)?
            } else if self.is_operator("(") {
                let arguments = self.arguments()?;
                Kind::Call(Box::new(value), arguments)
            } else {
                return Ok(value);
            };
            value = self.made(kind, start);
        }
    }

    fn subscript(&mut self, value: Expression) -> Result<Kind, Error> {
        let mut parts: [Option<Expression>; 3] = [None, None, None];
        let mut colons = 0;
        loop {
            if self.take_operator("]") {
                break;
            }
            if self.take_operator(":") {
                colons += 1;
                continue;
            }
            let start = self.here();
            let part = self.tuple(true)?;
            match parts.get_mut(colons) {
                Some(slot) if slot.is_none() => *slot = Some(part),
                _ => return Err(Error::syntax("expected `]`").within(start)),
            }
        }
        let [first, ..] = &mut parts;
        match (colons, first.take()) {
            (0, Some(key)) => Ok(Kind::Item(Box::new(value), Box::new(key))),
            (0, None) => Err(Error::syntax("expected an index").within(self.here())),
            (_, taken) => {
                *first = taken;
                Ok(Kind::Slice(Box::new(value), Box::new(parts)))
            }
        }
    }

    fn filters(&mut self, mut value: Expression, start: Range) -> Result<Expression, Error> {
        loop {
            value = if self.take_operator("|") {
                self.filter(Some(value), start)?
            } else if self.is_word("is") {
                self.test(value, start)?
            } else if self.is_operator("(") {
                let arguments = self.arguments()?;
                self.made(Kind::Call(Box::new(value), arguments), start)
            } else {
                return Ok(value);
            };
        }
    }

    /// The filter after a `|`.
    fn filter(&mut self, subject: Option<Expression>, start: Range) -> Result<Expression, Error> {
        let name = self.dotted_name()?;
        let arguments = if self.is_operator("(") { self.arguments()? } else { Arguments::default() };
        Ok(self.made(Kind::Filter(subject.map(Box::new), name, arguments), start))
    }

    /// A chain of filters without a subject: `{% filter upper | trim %}`.
    pub(super) fn filter_chain(&mut self) -> Result<Expression, Error> {
        let start = self.here();
        let mut value = self.filter(None, start)?;
        while self.take_operator("|") {
            value = self.filter(Some(value), start)?;
        }
        Ok(value)
    }

    fn dotted_name(&mut self) -> Result<Arc<str>, Error> {
        let mut name = self.name()?;
        while self.take_operator(".") {
            name = format!("{name}.{}", self.name()?).into();
        }
        Ok(name)
    }

    fn test(&mut self, value: Expression, start: Range) -> Result<Expression, Error> {
        self.position += 1;
        let negated = self.take_word("not");
        let name = self.dotted_name()?;
        let mut arguments = Arguments::default();
        if self.is_operator("(") {
            arguments = self.arguments()?;
        } else if self.starts_argument() {
            let at = self.here();
            let argument = self.primary()?;
            arguments.positional.push(self.postfix(argument, at)?);
        }
        let test = self.made(Kind::Test(Box::new(value), name, arguments), start);
        Ok(if negated { self.made(Kind::Not(Box::new(test)), start) } else { test })
    }

    /// Whether the argument of a test may be written here without parentheses: `x is divisibleby 3`.
    fn starts_argument(&self) -> bool {
        match self.peek() {
            Token::Name(word) => !matches!(&**word, "else" | "or" | "and" | "is" | "if" | "in" | "not" | "recursive"),
            Token::Str(_) | Token::Int(_) | Token::Float(_) | Token::Operator("[" | "{") => true,
            _ => false,
        }
    }

    pub(super) fn arguments(&mut self) -> Result<Arguments, Error> {
        self.expect_operator("(")?;
        let mut arguments = Arguments::default();
        self.sequence(")", |parser| {
            let at = parser.here();
            if parser.take_operator("**") {
                arguments.unpacked_named = Some(Box::new(parser.expression()?));
            } else if parser.take_operator("*") {
                arguments.unpacked = Some(Box::new(parser.expression()?));
            } else if let (Token::Name(name), Token::Operator("=")) = (parser.peek().clone(), parser.peek_after()) {
                parser.position += 2;
                arguments.named.push((name, parser.expression()?));
            } else if arguments.named.is_empty() && arguments.unpacked_named.is_none() {
                arguments.positional.push(parser.expression()?);
            } else {
                return Err(Error::syntax("invalid syntax for function call expression").within(at));
            }
            Ok(())
        })?;
        Ok(arguments)
    }
}
