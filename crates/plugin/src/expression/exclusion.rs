//! Whether two conditions can hold for the same request: the proof that lets routes stand beside each other which differ
//! by `if` alone.
//!
//! Nothing is guessed: each condition is taken apart into what must hold for it in any case, and two of these parts exclude
//! each other only where the language itself says so. Both see the same values, since a reference has one value for one
//! request.

use std::cmp::Ordering;

use crate::template::Reference;

use super::ast::{Condition, Literal, Operand, Operator};

/// Alternatives are compared pair by pair; more than so many pairs are held to be possible.
const MAX_PAIRS: usize = 4096;

/// Whether no request fulfils both. `false` also when that cannot be told.
pub(super) fn excludes(one: &Condition, two: &Condition) -> bool {
    // Which of the two is taken apart first decides what is found; both together know no order.
    let proves = |one, two| contradict(&Claim::of(one), &Claim::of(two), &mut { MAX_PAIRS });
    proves(one, two) || proves(two, one)
}

/// A condition, or that it does not hold.
#[derive(Clone, Copy)]
struct Claim<'c> {
    condition: &'c Condition,
    holds: bool,
}

/// How the parts of a claim make it up.
enum Parts<'c> {
    /// It has none.
    Whole,
    /// All hold.
    All(Vec<Claim<'c>>),
    /// One of them holds; none at all: it never does.
    Any(Vec<Claim<'c>>),
}

impl<'c> Claim<'c> {
    fn of(condition: &'c Condition) -> Self {
        Self { condition, holds: true }
    }

    fn parts(self) -> Parts<'c> {
        let each = |inner: &'c [Condition]| inner.iter().map(|one| Self { condition: one, ..self }).collect();
        match (self.condition, self.holds) {
            (Condition::Not(inner), holds) => Parts::All(vec![Self { condition: &**inner, holds: !holds }]),
            (Condition::All(inner), true) | (Condition::Any(inner), false) => Parts::All(each(inner)),
            (Condition::Any(inner), true) | (Condition::All(inner), false) => Parts::Any(each(inner)),
            (Condition::Constant(value), holds) if *value != holds => Parts::Any(Vec::new()),
            _ => Parts::Whole,
        }
    }
}

fn contradict(one: &Claim<'_>, two: &Claim<'_>, budget: &mut usize) -> bool {
    if *budget == 0 {
        return false;
    }
    *budget -= 1;
    match (one.parts(), two.parts()) {
        // Of what all hold, one that contradicts is enough; of alternatives, each must.
        (Parts::Any(parts), _) => parts.iter().all(|part| contradict(part, two, budget)),
        (_, Parts::Any(parts)) => parts.iter().all(|part| contradict(one, part, budget)),
        (Parts::All(parts), _) => parts.iter().any(|part| contradict(part, two, budget)),
        (_, Parts::All(parts)) => parts.iter().any(|part| contradict(one, part, budget)),
        (Parts::Whole, Parts::Whole) => atoms_contradict(*one, *two),
    }
}

fn atoms_contradict(one: Claim<'_>, two: Claim<'_>) -> bool {
    if one.condition == two.condition {
        return one.holds != two.holds;
    }
    let (Some((about, one)), Some((other, two))) = (Allowed::by(one), Allowed::by(two)) else {
        return false;
    };
    about == other && one.is_disjoint(&two)
}

/// What a claim says of one reference.
enum Allowed<'c> {
    /// It has one of these values.
    OneOf(Vec<&'c Literal>),
    /// It has none of these values.
    NoneOf(Vec<&'c Literal>),
    /// It lies on this side of a value, and is of the same type.
    Side(Side, &'c Literal),
    /// It has a value or has none.
    Present(bool),
}

#[derive(Clone, Copy, PartialEq)]
enum Side {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

static TRUE: Literal = Literal::Boolean(true);

impl<'c> Allowed<'c> {
    fn by(claim: Claim<'c>) -> Option<(&'c Reference, Self)> {
        let among = |values: Vec<&'c Literal>, holds: bool| {
            if holds { Self::OneOf(values) } else { Self::NoneOf(values) }
        };
        match claim.condition {
            Condition::Is(reference) => Some((reference, among(vec![&TRUE], claim.holds))),
            Condition::Has(reference) => Some((reference, Self::Present(claim.holds))),
            Condition::Test(Operand::Reference(reference), operator, Operand::Literal(literal)) => {
                Some((reference, Self::tested(*operator, literal, claim.holds)?))
            }
            Condition::Test(Operand::Literal(literal), operator, Operand::Reference(reference)) => {
                Some((reference, Self::tested(mirrored(*operator)?, literal, claim.holds)?))
            }
            _ => None,
        }
    }

    fn tested(operator: Operator, literal: &'c Literal, holds: bool) -> Option<Self> {
        let values = match (operator, literal) {
            (Operator::In, Literal::List(items)) => items.iter().collect(),
            // Nothing is in what is no list.
            (Operator::In, _) => return None,
            _ => vec![literal],
        };
        let side = match (operator, holds) {
            (Operator::Equal | Operator::In, true) | (Operator::NotEqual, false) => return Some(Self::OneOf(values)),
            (Operator::Equal | Operator::In, false) | (Operator::NotEqual, true) => return Some(Self::NoneOf(values)),
            (Operator::Less, true) => Side::Less,
            (Operator::LessOrEqual, true) => Side::LessOrEqual,
            (Operator::Greater, true) => Side::Greater,
            (Operator::GreaterOrEqual, true) => Side::GreaterOrEqual,
            // That an order does not hold is also true of a missing value and of one of another type.
            _ => return None,
        };
        Some(Self::Side(side, literal))
    }

    fn is_disjoint(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::OneOf(values), other) | (other, Self::OneOf(values)) => !values.iter().any(|value| other.has(value)),
            (Self::Present(one), Self::Present(two)) => one != two,
            // An order holds between values only.
            (Self::Present(present), Self::Side(..)) | (Self::Side(..), Self::Present(present)) => !present,
            (Self::Side(one, a), Self::Side(two, b)) => sides_are_disjoint((*one, a), (*two, b)),
            // To have no value is to be null, which `NoneOf` may leave.
            (Self::NoneOf(values), Self::Present(false)) | (Self::Present(false), Self::NoneOf(values)) => {
                values.contains(&&Literal::Null)
            }
            _ => false,
        }
    }

    /// Whether the reference may have this value. A missing one is null.
    fn has(&self, value: &Literal) -> bool {
        match self {
            Self::OneOf(values) => values.contains(&value),
            Self::NoneOf(values) => !values.contains(&value),
            Self::Side(side, limit) => match (compare(value, limit), side) {
                (None, _) => false,
                (Some(order), Side::Less) => order == Ordering::Less,
                (Some(order), Side::LessOrEqual) => order != Ordering::Greater,
                (Some(order), Side::Greater) => order == Ordering::Greater,
                (Some(order), Side::GreaterOrEqual) => order != Ordering::Less,
            },
            Self::Present(true) => *value != Literal::Null,
            // A claim that is null has a value, and is null all the same.
            Self::Present(false) => *value == Literal::Null,
        }
    }
}

/// What `5 < x` says of `x`; `None` for operators that have no such form.
fn mirrored(operator: Operator) -> Option<Operator> {
    Some(match operator {
        Operator::Equal | Operator::NotEqual => operator,
        Operator::Less => Operator::Greater,
        Operator::LessOrEqual => Operator::GreaterOrEqual,
        Operator::Greater => Operator::Less,
        Operator::GreaterOrEqual => Operator::LessOrEqual,
        _ => return None,
    })
}

/// The order that the language has: numbers, and texts by bytes.
fn compare(a: &Literal, b: &Literal) -> Option<Ordering> {
    match (a, b) {
        (Literal::Integer(a), Literal::Integer(b)) => Some(a.cmp(b)),
        (Literal::Text(a), Literal::Text(b)) => Some(a.as_bytes().cmp(b.as_bytes())),
        _ => None,
    }
}

fn sides_are_disjoint((one, a): (Side, &Literal), (two, b): (Side, &Literal)) -> bool {
    let is_upper = |side: Side| matches!(side, Side::Less | Side::LessOrEqual);
    let Some(order) = compare(a, b) else {
        // A number and a text: no value is both.
        return true;
    };
    let (order, strict) = match (is_upper(one), is_upper(two)) {
        (true, false) => (order, one == Side::Less || two == Side::Greater),
        (false, true) => (order.reverse(), one == Side::Greater || two == Side::Less),
        _ => return false,
    };
    // Below `a` and above `b` there is nothing when `a` is less than `b`, or the same and not both include it.
    order == Ordering::Less || (order == Ordering::Equal && strict)
}

#[cfg(test)]
mod tests;
