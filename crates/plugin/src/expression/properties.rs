//! Properties over random trees: the canonical spelling parses back, and the evaluator agrees with a naive one that
//! knows nothing but JSON values.

use proptest::prelude::*;
use regex::Regex;
use serde_json::{Value, json};

use super::ast::{Condition, Literal, Operand, Operator, Pattern};
use super::parser;
use crate::template::{Bounds, Datum, Reference, Scope, WithCalls};

/// Every claim is one value of this object.
struct Claims(Value);

impl Scope for Claims {
    fn resolve<'s>(&'s self, reference: &Reference) -> Option<Datum<'s>> {
        match reference {
            Reference::Claim(path) => path.find(&self.0).map(Datum::Json),
            _ => None,
        }
    }
}

fn claims() -> Claims {
    Claims(json!({
        "a": "x", "b": 1, "c": true, "d": null, "e": ["x", 1, null], "f": 1.5, "g": { "x": 1 }, "h": "xy", "i": [], "j": false
    }))
}

fn reference() -> impl Strategy<Value = Reference> {
    "[a-k]".prop_map(|name| Reference::Claim([name].into_iter().collect()))
}

fn plain() -> impl Strategy<Value = Literal> {
    prop_oneof![
        Just(Literal::Null),
        any::<bool>().prop_map(Literal::Boolean),
        (-2_i64..3).prop_map(Literal::Integer),
        any::<i64>().prop_map(Literal::Integer),
        "x?y?|[\\PC'\"\\\\\n]{0,4}".prop_map(|text| Literal::Text(text.into())),
    ]
}

fn operand() -> impl Strategy<Value = Operand> {
    prop_oneof![
        3 => reference().prop_map(Operand::Reference),
        2 => plain().prop_map(Operand::Literal),
        1 => proptest::collection::vec(plain(), 0..4).prop_map(|items| Operand::Literal(Literal::List(items.into()))),
    ]
}

fn operator() -> impl Strategy<Value = Operator> {
    use Operator::*;
    proptest::sample::select(vec![
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
    ])
}

fn condition() -> impl Strategy<Value = Condition> {
    let pattern = proptest::sample::select(vec!["x", "^x$", "'", "^$"]);
    let leaf = prop_oneof![
        any::<bool>().prop_map(Condition::Constant),
        reference().prop_map(Condition::Is),
        reference().prop_map(Condition::Has),
        (operand(), operator(), operand()).prop_map(|(left, operator, right)| Condition::Test(left, operator, right)),
        (reference(), pattern).prop_map(|(left, pattern)| {
            Condition::Matches(Operand::Reference(left), Pattern(Regex::new(pattern).unwrap()))
        }),
    ];
    leaf.prop_recursive(5, 24, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|one| Condition::Not(Box::new(one))),
            proptest::collection::vec(inner.clone(), 2..4).prop_map(Condition::All),
            proptest::collection::vec(inner, 2..4).prop_map(Condition::Any),
        ]
    })
}

fn literal_value(literal: &Literal) -> Value {
    match literal {
        Literal::Null => Value::Null,
        Literal::Boolean(value) => json!(value),
        Literal::Integer(value) => json!(value),
        Literal::Text(text) => json!(text),
        Literal::List(items) => items.iter().map(literal_value).collect(),
    }
}

fn value(operand: &Operand, claims: &Claims) -> Value {
    match operand {
        Operand::Literal(literal) => literal_value(literal),
        Operand::Reference(reference) => claims.resolve(reference).map_or(Value::Null, Datum::into_json),
    }
}

/// The tables of the module's documentation, word by word. The only fraction in play, 1.5, is exact as a float.
fn naive(condition: &Condition, claims: &Claims) -> bool {
    match condition {
        Condition::Constant(value) => *value,
        Condition::Is(reference) => value(&Operand::Reference(reference.clone()), claims) == json!(true),
        Condition::Has(reference) => value(&Operand::Reference(reference.clone()), claims) != Value::Null,
        Condition::Test(left, operator, right) => naive_test(&value(left, claims), *operator, &value(right, claims)),
        Condition::Matches(left, pattern) => value(left, claims).as_str().is_some_and(|text| pattern.0.is_match(text)),
        Condition::Not(inner) => !naive(inner, claims),
        Condition::All(inner) => inner.iter().filter(|one| !naive(one, claims)).count() == 0,
        Condition::Any(inner) => inner.iter().filter(|one| naive(one, claims)).count() > 0,
    }
}

fn naive_test(left: &Value, operator: Operator, right: &Value) -> bool {
    let texts = left.as_str().zip(right.as_str());
    let less = |left: &Value, right: &Value| match (left, right) {
        (Value::String(left), Value::String(right)) => left < right,
        (Value::Number(left), Value::Number(right)) => match (left.as_i64(), right.as_i64()) {
            (Some(left), Some(right)) => left < right,
            _ => left.as_f64() < right.as_f64(),
        },
        _ => false,
    };
    let ordered = |value: &Value| value.is_string() || value.is_number();
    let same = ordered(left) && left == right;
    match operator {
        Operator::Equal => left == right,
        Operator::NotEqual => left != right,
        Operator::Less => less(left, right),
        Operator::LessOrEqual => less(left, right) || same,
        Operator::Greater => less(right, left),
        Operator::GreaterOrEqual => less(right, left) || same,
        Operator::In => right.as_array().is_some_and(|items| items.contains(left)),
        Operator::Contains => match left {
            Value::Array(items) => items.contains(right),
            _ => texts.is_some_and(|(left, right)| left.contains(right)),
        },
        Operator::StartsWith => texts.is_some_and(|(left, right)| left.starts_with(right)),
        Operator::EndsWith => texts.is_some_and(|(left, right)| left.ends_with(right)),
    }
}

proptest! {
    #[test]
    fn the_canonical_spelling_parses_back_to_the_same_tree(condition in condition()) {
        let text = condition.to_string();
        match parser::parse(&text, Bounds::of::<WithCalls>()) {
            Ok(parsed) => prop_assert_eq!(parsed, condition, "{}", text),
            // Random trees compare what the parser refuses to compare; those refusals, and no others, are expected.
            Err(error) => {
                let message = error.message();
                let by_type = ["never equals", "compares numbers", "not a list", "not text"];
                prop_assert!(by_type.iter().any(|part| message.contains(part)), "{}: {}", text, message);
            }
        }
    }

    #[test]
    fn the_evaluator_agrees_with_a_naive_one(condition in condition()) {
        let claims = claims();
        prop_assert_eq!(condition.eval(&claims), naive(&condition, &claims), "{}", condition);
    }

    #[test]
    fn no_source_makes_the_parser_panic(
        source in "(claims[.]a|request[.]path|'x'|[0-9-]| |==|<|&&|[|][|]|!|[(]|[)]|[\\[]|[\\]]|,|in|has|matches|\\PC){0,24}",
    ) {
        if let Ok(condition) = parser::parse(&source, Bounds::of::<WithCalls>()) {
            condition.eval(&claims());
            prop_assert_eq!(parser::parse(&condition.to_string(), Bounds::of::<WithCalls>()).unwrap(), condition);
        }
    }
}
