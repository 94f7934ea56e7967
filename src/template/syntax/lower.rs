//! minijinja's tree to ours.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use minijinja::machinery::{Span, ast};
use minijinja::value::ValueKind;

use super::rewrite::Rewritten;
use super::{Arguments, Block, Comparison, Expression, For, Kind, Macro, Named, NamedBlock, Operator, Range, Statement, Target, What};
use crate::template::Value;
use crate::template::error::Error;
use crate::template::source::is_template;

type Result<T> = std::result::Result<T, Error>;

/// Turns a tree of `text` into one that stands for itself.
#[derive(Clone, Copy)]
pub(super) struct Lowering<'a> {
    /// What was written.
    pub(super) text: &'a str,
    /// What was parsed.
    pub(super) rewritten: &'a Rewritten<'a>,
    /// Where that starts in the template.
    pub(super) start: usize,
    /// Whether `{{ '\d' }}` keeps its backslash.
    pub(super) literal: bool,
    /// Whether strings may have templates in them.
    pub(super) condition: bool,
    /// What a line feed of the text becomes.
    pub(super) newline: &'static str,
    /// Names of filters, tests and lookups.
    pub(super) names: &'a RefCell<Vec<Named>>,
    /// How many expressions we are in.
    pub(super) depth: &'a Cell<usize>,
}

/// How deeply expressions may be nested: to read and to evaluate one more takes more of the stack. `a + a + a` is two deep.
const DEEPEST: usize = 200;

impl Lowering<'_> {
    fn range(&self, span: Span) -> Range {
        let start = u32::try_from(self.start).unwrap_or(u32::MAX);
        let (from, to) = self.written(span);
        (start.saturating_add(from), start.saturating_add(to))
    }

    /// The bytes of `text`.
    fn written(&self, span: Span) -> Range {
        (self.rewritten.original(span.start_offset), self.rewritten.original(span.end_offset))
    }

    /// Text that is printed as it is, but for the ends of its lines.
    fn lines(&self, text: &str) -> String {
        let text = line_feeds(text);
        if self.newline == "\n" { text } else { text.replace('\n', self.newline) }
    }

    /// The whole template.
    pub(super) fn template(&self, tree: &ast::Stmt<'_>) -> Result<Block> {
        match tree {
            ast::Stmt::Template(template) => self.block(&template.children),
            other => Ok(vec![self.statement(other)?]),
        }
    }

    fn block(&self, statements: &[ast::Stmt<'_>]) -> Result<Block> {
        let mut block = Vec::with_capacity(statements.len());
        for statement in statements {
            match statement {
                // Nothing is ever escaped in Ansible.
                ast::Stmt::AutoEscape(inner) => block.append(&mut self.block(&inner.body)?),
                statement => block.push(self.statement(statement)?),
            }
        }
        Ok(block)
    }

    /// Statements, as opposed to what is printed, read their strings as Python does.
    fn code(&self) -> Self {
        Self { literal: false, ..*self }
    }

    fn statement(&self, statement: &ast::Stmt<'_>) -> Result<Statement> {
        let code = self.code();
        Ok(match statement {
            ast::Stmt::EmitRaw(raw) => Statement::Text(self.lines(raw.raw).into()),
            ast::Stmt::EmitExpr(emit) => Statement::Print(self.expression(&emit.expr)?),
            ast::Stmt::IfCond(branch) => {
                let test = code.expression(&branch.expr)?;
                Statement::If(vec![(test, self.block(&branch.true_body)?)], self.block(&branch.false_body)?)
            }
            ast::Stmt::ForLoop(repeat) => Statement::For(Arc::new(For {
                target: code.target(&repeat.target)?,
                iterable: code.expression(&repeat.iter)?,
                condition: code.optional(repeat.filter_expr.as_ref())?,
                body: self.block(&repeat.body)?,
                otherwise: self.block(&repeat.else_body)?,
                recursive: repeat.recursive,
            })),
            ast::Stmt::Set(set) => Statement::Set(code.target(&set.target)?, code.expression(&set.expr)?),
            ast::Stmt::SetBlock(set) => {
                Statement::SetBlock(code.target(&set.target)?, code.optional(set.filter.as_ref())?, self.block(&set.body)?)
            }
            ast::Stmt::WithBlock(with) => {
                if let Some(name) = self.rewritten.blocks.get(&with.span().start_offset) {
                    return Ok(Statement::Block(Arc::new(NamedBlock { name: Arc::clone(name), body: self.block(&with.body)? })));
                }
                let assignment = |(target, value): &(ast::Expr<'_>, ast::Expr<'_>)| Ok((code.target(target)?, code.expression(value)?));
                Statement::With(with.assignments.iter().map(assignment).collect::<Result<_>>()?, self.block(&with.body)?)
            }
            ast::Stmt::FilterBlock(filter) => Statement::Filter(code.expression(&filter.filter)?, self.block(&filter.body)?),
            ast::Stmt::Macro(definition) => Statement::Macro(self.definition(definition)?),
            ast::Stmt::CallBlock(block) => Statement::CallBlock(code.call(&block.call)?, self.definition(&block.macro_decl)?),
            ast::Stmt::Do(statement) => Statement::Do(code.call(&statement.call)?),
            ast::Stmt::Include(include) => {
                Statement::Include { names: code.expression(&include.name)?, ignore_missing: include.ignore_missing }
            }
            ast::Stmt::Import(import) => Statement::Import { from: code.expression(&import.expr)?, name: self.name(&import.name)? },
            ast::Stmt::FromImport(import) => {
                let pair = |(name, alias): &(ast::Expr<'_>, Option<ast::Expr<'_>>)| {
                    let name = self.name(name)?;
                    let alias = alias.as_ref().map(|alias| self.name(alias)).transpose()?;
                    Ok((Arc::clone(&name), alias.unwrap_or(name)))
                };
                Statement::FromImport { from: code.expression(&import.expr)?, names: import.names.iter().map(pair).collect::<Result<_>>()? }
            }
            ast::Stmt::Extends(extends) => Statement::Extends(code.expression(&extends.name)?),
            ast::Stmt::Block(block) => Statement::Block(Arc::new(NamedBlock { name: block.name.into(), body: self.block(&block.body)? })),
            ast::Stmt::Continue(_) => Statement::Continue,
            ast::Stmt::Break(_) => Statement::Break,
            ast::Stmt::Template(_) | ast::Stmt::AutoEscape(_) => return Err(Error::syntax("a template inside a template")),
        })
    }

    fn definition(&self, definition: &ast::Spanned<ast::Macro<'_>>) -> Result<Arc<Macro>> {
        let code = self.code();
        // Defaults belong to the last parameters.
        let without = definition.args.len().saturating_sub(definition.defaults.len());
        let mut parameters = Vec::new();
        for (index, parameter) in definition.args.iter().enumerate() {
            let default = index.checked_sub(without).and_then(|index| definition.defaults.get(index));
            parameters.push((self.name(parameter)?, code.optional(default)?));
        }
        Ok(Arc::new(Macro { name: definition.name.into(), parameters, body: self.block(&definition.body)? }))
    }

    fn name(&self, expression: &ast::Expr<'_>) -> Result<Arc<str>> {
        match expression {
            ast::Expr::Var(name) => Ok(name.id.into()),
            other => Err(Error::syntax("expected a name").within(self.range(other.span()))),
        }
    }

    fn target(&self, target: &ast::Expr<'_>) -> Result<Target> {
        let at = self.range(target.span());
        let several =
            |targets: &[ast::Expr<'_>]| Ok(Target::Tuple(targets.iter().map(|target| self.target(target)).collect::<Result<_>>()?, at));
        match target {
            ast::Expr::Var(name) => Ok(Target::Name(name.id.into())),
            ast::Expr::List(list) => several(&list.items),
            ast::Expr::Tuple(tuple) => several(&tuple.items),
            ast::Expr::GetAttr(attribute) => Ok(Target::Attribute(self.name(&attribute.expr)?, attribute.name.into(), at)),
            _ => Err(Error::syntax("cannot assign to this").within(at)),
        }
    }

    fn optional(&self, expression: Option<&ast::Expr<'_>>) -> Result<Option<Expression>> {
        expression.map(|expression| self.expression(expression)).transpose()
    }

    fn boxed(&self, expression: &ast::Expr<'_>) -> Result<Box<Expression>> {
        self.expression(expression).map(Box::new)
    }

    fn all(&self, expressions: &[ast::Expr<'_>]) -> Result<Vec<Expression>> {
        expressions.iter().map(|expression| self.expression(expression)).collect()
    }

    /// One expression with all that is in it.
    pub(super) fn expression(&self, expression: &ast::Expr<'_>) -> Result<Expression> {
        let depth = self.depth.get() + 1;
        if depth > DEEPEST {
            return Err(Error::syntax(format!("more than {DEEPEST} operations in one another")).within(self.range(expression.span())));
        }
        self.depth.set(depth);
        let lowered = self.whole(expression);
        self.depth.set(depth - 1);
        lowered
    }

    fn whole(&self, expression: &ast::Expr<'_>) -> Result<Expression> {
        let kind = match expression {
            ast::Expr::Var(name) => Kind::Name(name.id.into()),
            ast::Expr::Const(constant) => match self.constant(&constant.value, constant.span()) {
                Value::Str(text) if self.condition && is_template(&text) => {
                    Kind::Embedded(super::parse(&text, 0, &super::Delimiters::default())?.tree)
                }
                value => Kind::Literal(value),
            },
            ast::Expr::Slice(slice) => {
                let bounds = [slice.start.as_ref(), slice.stop.as_ref(), slice.step.as_ref()];
                let [start, stop, step] = bounds.map(|bound| self.optional(bound));
                Kind::Slice(self.boxed(&slice.expr)?, Box::new([start?, stop?, step?]))
            }
            ast::Expr::UnaryOp(unary) => match unary.op {
                ast::UnaryOpKind::Not => Kind::Not(self.boxed(&unary.expr)?),
                ast::UnaryOpKind::Neg => Kind::Negative(self.boxed(&unary.expr)?),
            },
            ast::Expr::BinOp(binary) => self.binary(binary)?,
            ast::Expr::Compare(compare) => {
                let one = |step: &ast::CompareOp<'_>| Ok((comparison(step.op), self.expression(&step.expr)?));
                Kind::Compare(self.boxed(&compare.expr)?, compare.ops.iter().map(one).collect::<Result<_>>()?)
            }
            ast::Expr::IfExpr(choice) => Kind::If(
                self.boxed(&choice.test_expr)?,
                self.boxed(&choice.true_expr)?,
                self.optional(choice.false_expr.as_ref())?.map(Box::new),
            ),
            ast::Expr::Filter(filter) => {
                let subject = self.optional(filter.expr.as_ref())?.map(Box::new);
                self.named(What::Filter, compact(filter.name), filter.span());
                Kind::Filter(subject, compact(filter.name), self.arguments(&filter.args)?)
            }
            ast::Expr::Test(test) => {
                self.named(What::Test, compact(test.name), test.span());
                Kind::Test(self.boxed(&test.expr)?, compact(test.name), self.arguments(&test.args)?)
            }
            ast::Expr::GetAttr(attribute) => Kind::Attribute(self.boxed(&attribute.expr)?, attribute.name.into()),
            ast::Expr::GetItem(item) => Kind::Item(self.boxed(&item.expr)?, self.boxed(&item.subscript_expr)?),
            ast::Expr::Call(call) => return self.call(call),
            ast::Expr::List(list) => Kind::List(self.all(&list.items)?),
            ast::Expr::Tuple(tuple) => Kind::Tuple(self.all(&tuple.items)?),
            ast::Expr::Map(map) => Kind::Dict(self.all(&map.keys)?.into_iter().zip(self.all(&map.values)?).collect()),
        };
        Ok(Expression { kind, at: self.range(expression.span()) })
    }

    fn named(&self, what: What, name: Arc<str>, span: Span) {
        self.names.borrow_mut().push(Named { what, name, at: self.range(span) });
    }

    fn call(&self, call: &ast::Spanned<ast::Call<'_>>) -> Result<Expression> {
        if let (ast::Expr::Var(callee), Some(ast::CallArg::Pos(ast::Expr::Const(first)))) = (&call.expr, call.args.first())
            && let ("lookup" | "query" | "q", Some(name)) = (callee.id, first.value.as_str())
        {
            self.named(What::Lookup, name.into(), first.span());
        }
        let kind = Kind::Call(self.boxed(&call.expr)?, self.arguments(&call.args)?);
        Ok(Expression { kind, at: self.range(call.span()) })
    }

    fn binary(&self, binary: &ast::Spanned<ast::BinOp<'_>>) -> Result<Kind> {
        let (left, right) = (self.boxed(&binary.left)?, self.boxed(&binary.right)?);
        let compare = |comparison, left, right: Box<Expression>| Kind::Compare(left, vec![(comparison, *right)]);
        let arithmetic = |operator, left, right| Kind::Binary(operator, left, right);
        Ok(match binary.op {
            ast::BinOpKind::Eq => compare(Comparison::Equal, left, right),
            ast::BinOpKind::Ne => compare(Comparison::NotEqual, left, right),
            ast::BinOpKind::Lt => compare(Comparison::Less, left, right),
            ast::BinOpKind::Lte => compare(Comparison::LessEqual, left, right),
            ast::BinOpKind::Gt => compare(Comparison::Greater, left, right),
            ast::BinOpKind::Gte => compare(Comparison::GreaterEqual, left, right),
            ast::BinOpKind::In => compare(Comparison::In, left, right),
            ast::BinOpKind::ScAnd => Kind::And(left, right),
            ast::BinOpKind::ScOr => Kind::Or(left, right),
            ast::BinOpKind::Add => arithmetic(Operator::Add, left, right),
            ast::BinOpKind::Sub => arithmetic(Operator::Subtract, left, right),
            ast::BinOpKind::Mul => arithmetic(Operator::Multiply, left, right),
            ast::BinOpKind::Div => arithmetic(Operator::Divide, left, right),
            ast::BinOpKind::FloorDiv => arithmetic(Operator::FloorDivide, left, right),
            ast::BinOpKind::Rem => arithmetic(Operator::Modulo, left, right),
            ast::BinOpKind::Pow => arithmetic(Operator::Power, left, right),
            ast::BinOpKind::Concat => Kind::Concat(vec![*left, *right]),
        })
    }

    fn arguments(&self, args: &[ast::CallArg<'_>]) -> Result<Arguments> {
        let mut arguments = Arguments::default();
        for arg in args {
            match arg {
                ast::CallArg::Pos(value) => arguments.positional.push(self.expression(value)?),
                ast::CallArg::Kwarg(name, value) => arguments.named.push(((*name).into(), self.expression(value)?)),
                ast::CallArg::PosSplat(value) => arguments.unpacked = Some(self.boxed(value)?),
                ast::CallArg::KwargSplat(value) => arguments.unpacked_named = Some(self.boxed(value)?),
            }
        }
        Ok(arguments)
    }

    fn constant(&self, value: &minijinja::Value, span: Span) -> Value {
        match value.kind() {
            ValueKind::Bool => Value::Bool(value.is_true()),
            ValueKind::String => {
                let (from, to) = self.written(span);
                let written = self.text.get(from as usize..to as usize).unwrap_or_default();
                match value.as_str() {
                    Some(_) if self.literal && written.contains('\\') => Value::from(between_quotes(written)),
                    text => Value::from(text.unwrap_or_default()),
                }
            }
            ValueKind::Number if value.is_integer() => i128::try_from(value.clone()).map_or(Value::None, Value::Int),
            ValueKind::Number => f64::try_from(value.clone()).map_or(Value::None, Value::Float),
            _ => Value::None,
        }
    }
}

fn comparison(kind: ast::CompareOpKind) -> Comparison {
    match kind {
        ast::CompareOpKind::Eq => Comparison::Equal,
        ast::CompareOpKind::Ne => Comparison::NotEqual,
        ast::CompareOpKind::Lt => Comparison::Less,
        ast::CompareOpKind::Lte => Comparison::LessEqual,
        ast::CompareOpKind::Gt => Comparison::Greater,
        ast::CompareOpKind::Gte => Comparison::GreaterEqual,
        ast::CompareOpKind::In => Comparison::In,
        ast::CompareOpKind::NotIn => Comparison::NotIn,
    }
}

/// The name of a filter, which may have been written with blanks round its dots.
fn compact(name: &str) -> Arc<str> {
    name.chars().filter(|c| !c.is_whitespace()).collect::<String>().into()
}

fn line_feeds(text: &str) -> String {
    if text.contains('\r') { text.replace("\r\n", "\n").replace('\r', "\n") } else { text.to_owned() }
}

/// What is between the quotes of one or several string literals, letter by letter.
fn between_quotes(written: &str) -> String {
    let mut out = String::new();
    let mut quote = None;
    let mut characters = written.chars();
    while let Some(character) = characters.next() {
        match quote {
            None => quote = Some(character).filter(|c| matches!(c, '\'' | '"')),
            Some(end) if character == end => quote = None,
            Some(_) => {
                out.push(character);
                if character == '\\' {
                    out.extend(characters.next());
                }
            }
        }
    }
    out
}
