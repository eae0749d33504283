//! A parsed expression. Its `Display` is the canonical spelling, which parses back to the same tree.

use std::fmt;

use crate::template::{Kind, Quoted, Reference};

use super::pattern::Pattern;

/// A condition: what is true or false.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Condition {
    Constant(bool),
    /// A reference on its own: true if its value is JSON `true`.
    Is(Reference),
    Has(Reference),
    Test(Operand, Operator, Operand),
    Matches(Operand, Pattern),
    Not(Box<Self>),
    /// Two or more.
    All(Vec<Self>),
    /// Two or more.
    Any(Vec<Self>),
}

/// A value in a condition.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Operand {
    Literal(Literal),
    Reference(Reference),
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Literal {
    Null,
    Boolean(bool),
    Integer(i64),
    Text(Box<str>),
    /// Never holds a list.
    List(Box<[Self]>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
    Contains,
    StartsWith,
    EndsWith,
}

/// What is known of an operand at load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    Null,
    Boolean,
    Number,
    Text,
    List,
    Unknown,
}

impl Operand {
    pub(crate) fn type_of(&self) -> Type {
        match self {
            Self::Literal(literal) => literal.type_of(),
            Self::Reference(reference) => match reference.kind() {
                Kind::Text => Type::Text,
                Kind::Integer => Type::Number,
                Kind::List => Type::List,
                Kind::Any => Type::Unknown,
            },
        }
    }
}

impl Literal {
    pub(crate) fn type_of(&self) -> Type {
        match self {
            Self::Null => Type::Null,
            Self::Boolean(_) => Type::Boolean,
            Self::Integer(_) => Type::Number,
            Self::Text(_) => Type::Text,
            Self::List(_) => Type::List,
        }
    }
}

impl Condition {
    /// Adds every reference to `found`, in the order written.
    pub(crate) fn collect<'c>(&'c self, found: &mut Vec<&'c Reference>) {
        match self {
            Self::Constant(_) => {}
            Self::Is(reference) | Self::Has(reference) => found.push(reference),
            Self::Test(left, _, right) => found.extend([left, right].into_iter().filter_map(Operand::reference)),
            Self::Matches(left, _) => found.extend(left.reference()),
            Self::Not(inner) => inner.collect(found),
            Self::All(inner) | Self::Any(inner) => inner.iter().for_each(|one| one.collect(found)),
        }
    }

    /// Bytes that its regular expressions take, compiled.
    pub(crate) fn regex_size(&self) -> usize {
        match self {
            Self::Constant(_) | Self::Is(_) | Self::Has(_) | Self::Test(..) => 0,
            Self::Matches(_, pattern) => pattern.size(),
            Self::Not(inner) => inner.regex_size(),
            Self::All(inner) | Self::Any(inner) => inner.iter().map(Self::regex_size).sum(),
        }
    }
}

impl Operand {
    fn reference(&self) -> Option<&Reference> {
        match self {
            Self::Literal(_) => None,
            Self::Reference(reference) => Some(reference),
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Null => "null",
            Self::Boolean => "true or false",
            Self::Number => "a number",
            Self::Text => "text",
            Self::List => "a list",
            Self::Unknown => "any value",
        })
    }
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::In => "in",
            Self::Contains => "contains",
            Self::StartsWith => "starts_with",
            Self::EndsWith => "ends_with",
        })
    }
}

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Boolean(value) => value.fmt(f),
            Self::Integer(value) => value.fmt(f),
            Self::Text(text) => Quoted(text).fmt(f),
            Self::List(items) => {
                f.write_str("[")?;
                for (position, item) in items.iter().enumerate() {
                    f.write_str(if position == 0 { "" } else { ", " })?;
                    item.fmt(f)?;
                }
                f.write_str("]")
            }
        }
    }
}

impl fmt::Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal(literal) => literal.fmt(f),
            Self::Reference(reference) => reference.fmt(f),
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Constant(value) => value.fmt(f),
            Self::Is(reference) => reference.fmt(f),
            Self::Has(reference) => write!(f, "has({reference})"),
            Self::Test(left, operator, right) => write!(f, "{left} {operator} {right}"),
            Self::Matches(left, pattern) => {
                write!(f, "{left} matches {}", Quoted(pattern.as_str()))
            }
            // `not a == b` negates the comparison; `!a == b` would too, but does not read like it.
            Self::Not(inner) => {
                f.write_str("not ")?;
                inner.fmt_within(f, matches!(**inner, Self::All(_) | Self::Any(_)))
            }
            Self::All(inner) => join(f, inner, " && ", |one| matches!(one, Self::All(_) | Self::Any(_))),
            Self::Any(inner) => join(f, inner, " || ", |one| matches!(one, Self::Any(_))),
        }
    }
}

impl Condition {
    fn fmt_within(&self, f: &mut fmt::Formatter<'_>, in_parentheses: bool) -> fmt::Result {
        if in_parentheses { write!(f, "({self})") } else { fmt::Display::fmt(self, f) }
    }
}

fn join(
    f: &mut fmt::Formatter<'_>,
    conditions: &[Condition],
    between: &str,
    in_parentheses: impl Fn(&Condition) -> bool,
) -> fmt::Result {
    for (position, condition) in conditions.iter().enumerate() {
        f.write_str(if position == 0 { "" } else { between })?;
        condition.fmt_within(f, in_parentheses(condition))?;
    }
    Ok(())
}
