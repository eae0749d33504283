//! Decides a condition for one request: total, without allocation, without an error.

use std::cmp::Ordering;

use serde_json::{Map, Number, Value};

use crate::template::{Datum, Reference, Scope};

use super::ast::{Condition, Literal, Operand, Operator};

impl Condition {
    pub(super) fn eval(&self, scope: &dyn Scope) -> bool {
        match self {
            Self::Constant(value) => *value,
            Self::Is(reference) => matches!(scope.resolve(reference), Some(Datum::Json(Value::Bool(true)))),
            Self::Has(reference) => has(scope, reference),
            Self::Test(left, operator, right) => {
                let (left, right) = (left.datum(scope), right.datum(scope));
                test(View::of(&left), *operator, View::of(&right))
            }
            Self::Matches(left, pattern) => {
                matches!(View::of(&left.datum(scope)), View::Text(text) if pattern.is_match(text))
            }
            Self::Not(inner) => !inner.eval(scope),
            Self::All(inner) => inner.iter().all(|one| one.eval(scope)),
            Self::Any(inner) => inner.iter().any(|one| one.eval(scope)),
        }
    }
}

fn has(scope: &dyn Scope, reference: &Reference) -> bool {
    !matches!(scope.resolve(reference), None | Some(Datum::Json(Value::Null)))
}

/// What an operand stands for, holding the text if the scope had to build it.
enum Held<'a> {
    Literal(&'a Literal),
    Datum(Option<Datum<'a>>),
}

impl Operand {
    fn datum<'a>(&'a self, scope: &'a dyn Scope) -> Held<'a> {
        match self {
            Self::Literal(literal) => Held::Literal(literal),
            Self::Reference(reference) => Held::Datum(scope.resolve(reference)),
        }
    }
}

/// A value of either origin, in one shape.
#[derive(Clone, Copy)]
enum View<'a> {
    Null,
    Boolean(bool),
    /// Every integer that JSON can carry here: `i64` and `u64` both fit.
    Integer(i128),
    Float(f64),
    Text(&'a str),
    List(Items<'a>),
    Object(&'a Map<String, Value>),
}

#[derive(Clone, Copy)]
enum Items<'a> {
    Literals(&'a [Literal]),
    Names(&'a [String]),
    Json(&'a [Value]),
}

impl<'a> View<'a> {
    fn of(held: &'a Held<'a>) -> Self {
        match held {
            Held::Literal(literal) => Self::literal(literal),
            Held::Datum(None) => Self::Null,
            Held::Datum(Some(Datum::Text(text))) => Self::Text(text),
            Held::Datum(Some(Datum::Integer(value))) => Self::Integer((*value).into()),
            Held::Datum(Some(Datum::List(names))) => Self::List(Items::Names(names)),
            Held::Datum(Some(Datum::Json(value))) => Self::json(value),
        }
    }

    fn literal(literal: &'a Literal) -> Self {
        match literal {
            Literal::Null => Self::Null,
            Literal::Boolean(value) => Self::Boolean(*value),
            Literal::Integer(value) => Self::Integer((*value).into()),
            Literal::Text(text) => Self::Text(text),
            Literal::List(items) => Self::List(Items::Literals(items)),
        }
    }

    fn json(value: &'a Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Boolean(*value),
            Value::Number(number) => Self::number(number),
            Value::String(text) => Self::Text(text),
            Value::Array(items) => Self::List(Items::Json(items)),
            Value::Object(object) => Self::Object(object),
        }
    }

    fn number(number: &Number) -> Self {
        match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(value), _, _) => Self::Integer(value.into()),
            (None, Some(value), _) => Self::Integer(value.into()),
            (None, None, Some(value)) => Self::Float(value),
            (None, None, None) => Self::Null,
        }
    }

    fn equals(self, other: View<'_>) -> bool {
        match (self, other) {
            (Self::Null, View::Null) => true,
            (Self::Boolean(left), View::Boolean(right)) => left == right,
            (Self::List(left), View::List(right)) => left.equal(right),
            (Self::Object(left), View::Object(right)) => {
                let same =
                    |(key, value)| right.get(key).is_some_and(|other| View::json(value).equals(View::json(other)));
                left.len() == right.len() && left.iter().all(same)
            }
            _ => self.order(other) == Some(Ordering::Equal),
        }
    }

    /// Numbers with numbers and text with text, by bytes; nothing else has an order.
    fn order(self, other: View<'_>) -> Option<Ordering> {
        match (self, other) {
            (Self::Integer(left), View::Integer(right)) => Some(left.cmp(&right)),
            (Self::Float(left), View::Float(right)) => left.partial_cmp(&right),
            (Self::Integer(left), View::Float(right)) => order_mixed(left, right),
            (Self::Float(left), View::Integer(right)) => order_mixed(right, left).map(Ordering::reverse),
            (Self::Text(left), View::Text(right)) => Some(left.cmp(right)),
            _ => None,
        }
    }
}

impl<'a> Items<'a> {
    fn len(self) -> usize {
        match self {
            Self::Literals(items) => items.len(),
            Self::Names(items) => items.len(),
            Self::Json(items) => items.len(),
        }
    }

    fn get(self, index: usize) -> Option<View<'a>> {
        match self {
            Self::Literals(items) => items.get(index).map(View::literal),
            Self::Names(items) => items.get(index).map(|name| View::Text(name)),
            Self::Json(items) => items.get(index).map(View::json),
        }
    }

    fn iter(self) -> impl Iterator<Item = View<'a>> {
        (0..self.len()).filter_map(move |index| self.get(index))
    }

    fn hold(self, wanted: View<'_>) -> bool {
        self.iter().any(|item| item.equals(wanted))
    }

    fn equal(self, other: Items<'_>) -> bool {
        self.len() == other.len() && self.iter().zip(other.iter()).all(|(left, right)| left.equals(right))
    }
}

fn test(left: View<'_>, operator: Operator, right: View<'_>) -> bool {
    match operator {
        Operator::Equal => left.equals(right),
        Operator::NotEqual => !left.equals(right),
        Operator::Less => left.order(right).is_some_and(Ordering::is_lt),
        Operator::LessOrEqual => left.order(right).is_some_and(Ordering::is_le),
        Operator::Greater => left.order(right).is_some_and(Ordering::is_gt),
        Operator::GreaterOrEqual => left.order(right).is_some_and(Ordering::is_ge),
        Operator::In => matches!(right, View::List(items) if items.hold(left)),
        Operator::Contains => match (left, right) {
            (View::List(items), _) => items.hold(right),
            (View::Text(text), View::Text(part)) => text.contains(part),
            _ => false,
        },
        Operator::StartsWith => texts(left, right).is_some_and(|(text, part)| text.starts_with(part)),
        Operator::EndsWith => texts(left, right).is_some_and(|(text, part)| text.ends_with(part)),
    }
}

fn texts<'a>(left: View<'a>, right: View<'a>) -> Option<(&'a str, &'a str)> {
    match (left, right) {
        (View::Text(left), View::Text(right)) => Some((left, right)),
        _ => None,
    }
}

/// Compares without rounding: turning the integer into a float would make 2⁵³ + 1 equal 2⁵³.
fn order_mixed(integer: i128, float: f64) -> Option<Ordering> {
    if float.is_nan() {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, reason = "`as` saturates, and no integer here is near the ends of i128")]
    let whole = float.trunc() as i128;
    // With equal whole parts the fraction decides: 1 is below 1.5, and -1 above -1.5.
    let fraction = 0.0_f64.partial_cmp(&float.fract())?;
    Some(integer.cmp(&whole).then(fraction))
}
