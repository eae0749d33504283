//! Builds the tree and checks at load what can be known of the types, so that a comparison that could never hold is an
//! error of the file and not a surprise of the night.

use crate::template::{Bounds, Kind, Reference, SyntaxError};

use super::ast::{Condition, Literal, Operand, Operator, Type};
use super::lexer::{self, Token, TokenKind};
use super::pattern::Pattern;

/// Longest expression, in bytes: generous for a rule that a person writes.
pub(super) const MAX_LENGTH: usize = 4096;
/// Deepest nesting of parentheses and negations: arbitrary, and far from the end of any stack.
pub(super) const MAX_DEPTH: usize = 32;
/// Memory that the regular expressions of one expression may take together, in bytes.
const MAX_PATTERNS_SIZE: usize = 512 * 1024;

pub(super) fn parse(source: &str, bounds: Bounds) -> Result<Condition, SyntaxError> {
    if source.len() > MAX_LENGTH {
        let message = format!("the expression is longer than {MAX_LENGTH} bytes");
        return Err(SyntaxError::new(source, 0, message));
    }
    let tokens = lexer::tokens(source, bounds)?;
    let mut parser = Parser { source, tokens: tokens.into_iter().peekable(), depth: 0, patterns: 0 };
    let condition = parser.any()?;
    match parser.next() {
        Token { kind: TokenKind::End, .. } => Ok(condition),
        Token { at, kind: TokenKind::Operator(_) | TokenKind::Matches } => {
            Err(parser.error(at, "a condition cannot be compared; join conditions with `&&` or `||`"))
        }
        Token { at, .. } => Err(parser.error(at, "expected `&&`, `||` or the end")),
    }
}

struct Parser<'s> {
    source: &'s str,
    tokens: std::iter::Peekable<std::vec::IntoIter<Token>>,
    depth: usize,
    /// Bytes that the regular expressions take so far.
    patterns: usize,
}

impl Parser<'_> {
    fn error(&self, at: usize, message: impl Into<String>) -> SyntaxError {
        SyntaxError::new(self.source, at, message)
    }

    fn next(&mut self) -> Token {
        self.tokens.next().unwrap_or(Token { at: self.source.len(), kind: TokenKind::End })
    }

    fn eat(&mut self, wanted: &TokenKind) -> bool {
        self.tokens.next_if(|token| token.kind == *wanted).is_some()
    }

    fn at(&mut self) -> usize {
        self.tokens.peek().map_or(self.source.len(), |token| token.at)
    }

    fn expect(&mut self, wanted: &TokenKind, what: &str) -> Result<(), SyntaxError> {
        let at = self.at();
        if self.eat(wanted) { Ok(()) } else { Err(self.error(at, format!("expected {what}"))) }
    }

    fn any(&mut self) -> Result<Condition, SyntaxError> {
        let first = self.all()?;
        self.more(first, &TokenKind::Or, Self::all, Condition::Any)
    }

    fn all(&mut self) -> Result<Condition, SyntaxError> {
        let first = self.one()?;
        self.more(first, &TokenKind::And, Self::one, Condition::All)
    }

    /// Reads `between next` as often as it comes; a single condition stays itself.
    fn more(
        &mut self,
        first: Condition,
        between: &TokenKind,
        next: fn(&mut Self) -> Result<Condition, SyntaxError>,
        join: fn(Vec<Condition>) -> Condition,
    ) -> Result<Condition, SyntaxError> {
        if !self.eat(between) {
            return Ok(first);
        }
        let mut conditions = vec![first, next(self)?];
        while self.eat(between) {
            conditions.push(next(self)?);
        }
        Ok(join(conditions))
    }

    fn one(&mut self) -> Result<Condition, SyntaxError> {
        let at = self.at();
        if self.eat(&TokenKind::Not) {
            let inner = self.nested(at, Self::one)?;
            return Ok(Condition::Not(Box::new(inner)));
        }
        if self.eat(&TokenKind::Open) {
            let inner = self.nested(at, Self::any)?;
            self.expect(&TokenKind::Close, "`)`, `&&` or `||`")?;
            return Ok(inner);
        }
        if self.eat(&TokenKind::Has) {
            return self.has();
        }
        self.test()
    }

    fn nested(
        &mut self,
        at: usize,
        read: fn(&mut Self) -> Result<Condition, SyntaxError>,
    ) -> Result<Condition, SyntaxError> {
        if self.depth == MAX_DEPTH {
            return Err(self.error(at, format!("nested deeper than {MAX_DEPTH}")));
        }
        self.depth += 1;
        let inner = read(self);
        self.depth -= 1;
        inner
    }

    fn has(&mut self) -> Result<Condition, SyntaxError> {
        self.expect(&TokenKind::Open, "`(` after `has`")?;
        let token = self.next();
        let TokenKind::Reference(reference) = token.kind else {
            return Err(self.error(token.at, "expected a reference, as in `has(claims.plan)`"));
        };
        self.expect(&TokenKind::Close, "`)`")?;
        Ok(Condition::Has(reference))
    }

    fn test(&mut self) -> Result<Condition, SyntaxError> {
        let at = self.at();
        let left = self.operand()?;
        let at_operator = self.at();
        if self.eat(&TokenKind::Matches) {
            return self.matches(left, at_operator);
        }
        let is_operator = |token: &Token| matches!(token.kind, TokenKind::Operator(_));
        let Some(Token { kind: TokenKind::Operator(operator), .. }) = self.tokens.next_if(is_operator) else {
            return self.alone(left, at);
        };
        let right = self.operand()?;
        check(&left, operator, &right).map_err(|message| self.error(at_operator, message))?;
        Ok(Condition::Test(left, operator, right))
    }

    fn alone(&self, operand: Operand, at: usize) -> Result<Condition, SyntaxError> {
        match operand {
            Operand::Literal(Literal::Boolean(value)) => Ok(Condition::Constant(value)),
            Operand::Reference(reference) if reference.kind() == Kind::Any => Ok(Condition::Is(reference)),
            Operand::Reference(reference) => Err(self.error(at, alone_message(&reference))),
            Operand::Literal(literal) => {
                let message = format!("{} on its own is neither true nor false", literal.type_of());
                Err(self.error(at, message))
            }
        }
    }

    fn matches(&mut self, left: Operand, at: usize) -> Result<Condition, SyntaxError> {
        text_or_unknown(left.type_of(), "the left of `matches`").map_err(|message| self.error(at, message))?;
        let token = self.next();
        let TokenKind::Text(pattern) = token.kind else {
            let message = "expected a regular expression in quotes: it is compiled when the file is loaded";
            return Err(self.error(token.at, message));
        };
        let pattern = Pattern::parse(&pattern);
        let pattern = pattern.map_err(|reason| self.error(token.at, format!("not a regular expression: {reason}")))?;
        self.patterns += pattern.size();
        if self.patterns > MAX_PATTERNS_SIZE {
            let most = MAX_PATTERNS_SIZE >> 10;
            let message = format!("with this one the regular expressions take more than {most} KiB when compiled");
            return Err(self.error(token.at, message));
        }
        Ok(Condition::Matches(left, pattern))
    }

    fn operand(&mut self) -> Result<Operand, SyntaxError> {
        let token = self.next();
        match token.kind {
            TokenKind::Reference(reference) => Ok(Operand::Reference(reference)),
            TokenKind::OpenList => Ok(Operand::Literal(Literal::List(self.list()?.into()))),
            TokenKind::Open => Err(self.error(token.at, "parentheses hold conditions; a value stands without")),
            TokenKind::End => Err(self.error(token.at, "the expression ends where a value is due")),
            kind => match literal(kind) {
                Some(literal) => Ok(Operand::Literal(literal)),
                None => Err(self.error(token.at, "expected a value or a reference such as `claims.plan`")),
            },
        }
    }

    /// Reads what follows `[`: plain values with commas between, one after the last if wished.
    fn list(&mut self) -> Result<Vec<Literal>, SyntaxError> {
        let mut items = Vec::new();
        while !self.eat(&TokenKind::CloseList) {
            let token = self.next();
            let item = literal(token.kind);
            items.push(item.ok_or_else(|| self.error(token.at, "a list holds text, numbers, true, false and null"))?);
            if !self.eat(&TokenKind::Comma) {
                self.expect(&TokenKind::CloseList, "`,` or `]`")?;
                break;
            }
        }
        Ok(items)
    }
}

fn literal(kind: TokenKind) -> Option<Literal> {
    match kind {
        TokenKind::Null => Some(Literal::Null),
        TokenKind::Boolean(value) => Some(Literal::Boolean(value)),
        TokenKind::Integer(value) => Some(Literal::Integer(value)),
        TokenKind::Text(text) => Some(Literal::Text(text)),
        _ => None,
    }
}

fn alone_message(reference: &Reference) -> String {
    let type_of = Operand::Reference(reference.clone()).type_of();
    format!("`{reference}` is {type_of}, neither true nor false; compare it, or write `has({reference})`")
}

/// Refuses a test that could never hold, whatever the request.
fn check(left: &Operand, operator: Operator, right: &Operand) -> Result<(), String> {
    let (left_type, right_type) = (left.type_of(), right.type_of());
    match operator {
        Operator::Equal | Operator::NotEqual => comparable(left_type, right_type),
        Operator::In => match right {
            Operand::Literal(Literal::List(items)) => {
                items.iter().try_for_each(|item| comparable(left_type, item.type_of()))
            }
            _ if right_type == Type::Unknown || right_type == Type::List => Ok(()),
            _ => Err(format!("the right of `in` is {right_type}, not a list")),
        },
        Operator::Contains if matches!(left_type, Type::List | Type::Unknown) => Ok(()),
        Operator::Contains | Operator::StartsWith | Operator::EndsWith => {
            text_or_unknown(left_type, &format!("the left of `{operator}`"))?;
            text_or_unknown(right_type, &format!("the right of `{operator}`"))
        }
        _ => {
            for side in [left_type, right_type] {
                if !matches!(side, Type::Text | Type::Number | Type::Unknown) {
                    return Err(format!("`{operator}` compares numbers or text, not {side}"));
                }
            }
            comparable(left_type, right_type)
        }
    }
}

fn comparable(left: Type, right: Type) -> Result<(), String> {
    let is_open = |side| matches!(side, Type::Null | Type::Unknown);
    if left == right || is_open(left) || is_open(right) {
        return Ok(());
    }
    Err(format!("{left} never equals {right}"))
}

fn text_or_unknown(side: Type, what: &str) -> Result<(), String> {
    if matches!(side, Type::Text | Type::Unknown) {
        return Ok(());
    }
    Err(format!("{what} is {side}, not text"))
}
