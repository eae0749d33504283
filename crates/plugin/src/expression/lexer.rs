//! Splits an expression into words, values and signs, each with its place.

use crate::template::{
    Bounds, Cursor, ROOT_NAMES, Reference, Scanned, SyntaxError, did_you_mean, scan_reference, unset_message,
};

use super::ast::Operator;

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Token {
    pub(super) at: usize,
    pub(super) kind: TokenKind,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum TokenKind {
    Null,
    Boolean(bool),
    Integer(i64),
    Text(Box<str>),
    Reference(Reference),
    Operator(Operator),
    Matches,
    Has,
    Not,
    And,
    Or,
    Open,
    Close,
    OpenList,
    CloseList,
    Comma,
    End,
}

/// Every word of the language that is no reference.
pub(super) const WORDS: [(&str, TokenKind); 12] = [
    ("true", TokenKind::Boolean(true)),
    ("false", TokenKind::Boolean(false)),
    ("null", TokenKind::Null),
    ("and", TokenKind::And),
    ("or", TokenKind::Or),
    ("not", TokenKind::Not),
    ("in", TokenKind::Operator(Operator::In)),
    ("contains", TokenKind::Operator(Operator::Contains)),
    ("starts_with", TokenKind::Operator(Operator::StartsWith)),
    ("ends_with", TokenKind::Operator(Operator::EndsWith)),
    ("matches", TokenKind::Matches),
    ("has", TokenKind::Has),
];

/// Words of other languages of conditions, and what is written here.
const ALIASES: [(&str, &str); 16] = [
    ("exists", "`has(claims.plan)`"),
    ("exist", "`has(claims.plan)`"),
    ("defined", "`has(claims.plan)`"),
    ("is_defined", "`has(claims.plan)`"),
    ("present", "`has(claims.plan)`"),
    ("isset", "`has(claims.plan)`"),
    ("nil", "`null`"),
    ("none", "`null`"),
    ("undefined", "`null`"),
    ("regex", "`matches`"),
    ("like", "`matches`"),
    ("includes", "`contains`"),
    ("eq", "`==`"),
    ("ne", "`!=`"),
    ("startsWith", "`starts_with`"),
    ("endsWith", "`ends_with`"),
];

/// Longer signs first, so that `<=` is not read as `<`.
pub(super) const SIGNS: [(&str, TokenKind); 14] = [
    ("==", TokenKind::Operator(Operator::Equal)),
    ("!=", TokenKind::Operator(Operator::NotEqual)),
    ("<=", TokenKind::Operator(Operator::LessOrEqual)),
    (">=", TokenKind::Operator(Operator::GreaterOrEqual)),
    ("&&", TokenKind::And),
    ("||", TokenKind::Or),
    ("<", TokenKind::Operator(Operator::Less)),
    (">", TokenKind::Operator(Operator::Greater)),
    ("!", TokenKind::Not),
    ("(", TokenKind::Open),
    (")", TokenKind::Close),
    ("[", TokenKind::OpenList),
    ("]", TokenKind::CloseList),
    (",", TokenKind::Comma),
];

/// The tokens of `source`; the last is always [`TokenKind::End`].
pub(super) fn tokens(source: &str, bounds: Bounds) -> Result<Vec<Token>, SyntaxError> {
    let mut cursor = Cursor::new(source);
    let mut tokens = Vec::new();
    loop {
        cursor.skip_space();
        let at = cursor.at();
        let kind = token(&mut cursor, bounds)?;
        let is_end = kind == TokenKind::End;
        tokens.push(Token { at, kind });
        if is_end {
            return Ok(tokens);
        }
    }
}

fn token(cursor: &mut Cursor<'_>, bounds: Bounds) -> Result<TokenKind, SyntaxError> {
    let Some(first) = cursor.peek() else {
        return Ok(TokenKind::End);
    };
    if let Some((_, kind)) = SIGNS.iter().find(|(sign, _)| cursor.eat(sign)) {
        return Ok(kind.clone());
    }
    match first {
        '\'' | '"' => Ok(TokenKind::Text(cursor.quoted()?.into())),
        '0'..='9' | '-' => integer(cursor),
        'a'..='z' | 'A'..='Z' | '_' => word(cursor, bounds),
        '=' => Err(cursor.error("`=` is no comparison; did you mean `==`?")),
        '&' => Err(cursor.error("did you mean `&&`?")),
        '|' => Err(cursor.error("did you mean `||`?")),
        '$' => Err(cursor.error("references stand without `${…}` in an expression, such as `claims.plan`")),
        '~' => Err(cursor.error("did you mean `matches`?")),
        other => Err(cursor.error(format!("`{}` has no meaning here", other.escape_debug()))),
    }
}

fn integer(cursor: &mut Cursor<'_>) -> Result<TokenKind, SyntaxError> {
    let start = cursor.at();
    // Letters and dots are taken along so that `10.5` and `5s` are one mistake, told once.
    let text = cursor.take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_'));
    text.parse()
        .map(TokenKind::Integer)
        .map_err(|_| cursor.error_at(start, format!("`{text}` is not a whole number of at most 64 bits")))
}

fn word(cursor: &mut Cursor<'_>, bounds: Bounds) -> Result<TokenKind, SyntaxError> {
    let mut ahead = cursor.clone();
    let at = ahead.at();
    let word = ahead.take_name();
    if !matches!(ahead.peek(), Some('.' | '[')) {
        if let Some((_, kind)) = WORDS.iter().find(|(known, _)| *known == word) {
            *cursor = ahead;
            return Ok(kind.clone());
        }
        if !ROOT_NAMES.iter().any(|(root, _)| *root == word) {
            let known = WORDS.iter().map(|(known, _)| *known);
            let alias = ALIASES.iter().find(|(other, _)| *other == word);
            let guess = match alias {
                Some((_, ours)) => format!("; did you mean {ours}?"),
                None => did_you_mean(word, known.chain(ROOT_NAMES.map(|(root, _)| root))),
            };
            let guess = if guess.is_empty() { format!("; text is written '{word}'") } else { guess };
            return Err(cursor.error_at(at, format!("unknown word `{word}`{guess}")));
        }
    }
    match scan_reference(cursor, bounds)? {
        Scanned::Reference(reference) => Ok(TokenKind::Reference(reference)),
        Scanned::Env { value: Some(value), .. } => Ok(TokenKind::Text(value.into())),
        Scanned::Env { name, value: None } => Err(cursor.error_at(at, unset_message(&name))),
    }
}
