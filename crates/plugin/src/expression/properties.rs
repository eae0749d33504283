//! Properties over random trees: the canonical spelling parses back, and the evaluator agrees with a naive one that
//! knows nothing but JSON values.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::ast::{Condition, Literal, Operand, Operator};
use super::exclusion::excludes;
use super::parser;
use super::pattern::Pattern;
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
            Condition::Matches(Operand::Reference(left), Pattern::parse(pattern).unwrap())
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
        Condition::Matches(left, pattern) => value(left, claims).as_str().is_some_and(|text| pattern.is_match(text)),
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

/// Claims of all kinds, few enough values that conditions meet them.
fn some_claims() -> impl Strategy<Value = Value> {
    let value = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-3_i64..4).prop_map(Value::from),
        (-6_i32..8).prop_map(|halves| json!(f64::from(halves) / 2.0)),
        "x?y?".prop_map(Value::from),
        Just(json!(["x", 1])),
    ];
    proptest::collection::btree_map("[ab]", value, 0..3).prop_map(|map| json!(map))
}

/// Conditions over two references, so that pairs of them often speak of the same.
fn narrow_condition() -> impl Strategy<Value = Condition> {
    let reference = || "[ab]".prop_map(|name: String| Reference::Claim([name].into_iter().collect()));
    let literal = prop_oneof![
        Just(Literal::Null),
        any::<bool>().prop_map(Literal::Boolean),
        (-2_i64..3).prop_map(Literal::Integer),
        "x?y?".prop_map(|text| Literal::Text(text.into())),
    ];
    let list = proptest::collection::vec(literal.clone(), 0..3).prop_map(|items| Literal::List(items.into()));
    let literal = prop_oneof![4 => literal, 1 => list];
    let leaf = prop_oneof![
        1 => any::<bool>().prop_map(Condition::Constant),
        1 => reference().prop_map(Condition::Is),
        1 => reference().prop_map(Condition::Has),
        4 => (reference(), operator(), literal.clone()).prop_map(|(left, operator, right)| {
            Condition::Test(Operand::Reference(left), operator, Operand::Literal(right))
        }),
        2 => (literal, operator(), reference()).prop_map(|(left, operator, right)| {
            Condition::Test(Operand::Literal(left), operator, Operand::Reference(right))
        }),
    ];
    leaf.prop_recursive(3, 10, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|one| Condition::Not(Box::new(one))),
            proptest::collection::vec(inner.clone(), 2..4).prop_map(Condition::All),
            proptest::collection::vec(inner, 2..4).prop_map(Condition::Any),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2048, max_global_rejects: 200_000, ..ProptestConfig::default() })]

    #[test]
    fn no_request_fulfils_two_conditions_that_are_proved_to_exclude_each_other(
        one in narrow_condition(),
        two in narrow_condition(),
        requests in proptest::collection::vec(some_claims(), 24),
    ) {
        prop_assume!(excludes(&one, &two));
        prop_assert!(excludes(&two, &one), "{one} and {two}, but not the other way round");
        for claims in requests.into_iter().map(Claims) {
            prop_assert!(!(one.eval(&claims) && two.eval(&claims)), "{one} and {two} for {}", claims.0);
        }
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
