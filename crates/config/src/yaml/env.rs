//! `${env.NAME}` and `${env.NAME:-default}`: the environment's part in a file, put in once, when the file is read.

/// The lookup of environment variables.
pub(super) type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Puts the environment into a text. `None` when nothing in it asks for that.
///
/// Other templates, and `$${` (a literal `${`), are left for the template engine. That engine must never see a
/// template that came out of the environment: such a value is refused.
///
/// # Errors
/// A message for the place of the scalar.
pub(super) fn substitute(text: &str, lookup: Lookup<'_>) -> Result<Option<String>, String> {
    let mut out = String::new();
    let mut found = false;
    // Whether the last character of `out` came from the environment and is a `$`.
    let mut dangling = false;
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        let (before, from) = rest.split_at_checked(at).unwrap_or((rest, ""));
        dangling = append(&mut out, before, dangling, false)?;
        if let Some(after) = from.strip_prefix("$${") {
            dangling = append(&mut out, "$${", dangling, false)?;
            rest = after;
        } else if let Some(inner) = from.strip_prefix("${").map(str::trim_start).and_then(|i| i.strip_prefix("env.")) {
            let Some((expression, after)) = inner.split_once('}') else {
                return Err("${env.… is not closed; write ${env.NAME}".into());
            };
            let value = value(expression, lookup)?;
            dangling = append(&mut out, &value, dangling, true)?;
            found = true;
            rest = after;
        } else {
            dangling = append(&mut out, "$", dangling, false)?;
            rest = from.strip_prefix('$').unwrap_or_default();
        }
    }
    append(&mut out, rest, dangling, false)?;
    Ok(found.then_some(out))
}

fn append(out: &mut String, piece: &str, dangling: bool, from_env: bool) -> Result<bool, String> {
    if (dangling && piece.starts_with('{')) || (from_env && piece.contains("${")) {
        return Err("the environment's value makes a template (${…}); templates come from the file only".into());
    }
    if from_env && piece.starts_with('{') && out.ends_with('$') {
        return Err("the environment's value makes a template (${…}); templates come from the file only".into());
    }
    out.push_str(piece);
    Ok(if piece.is_empty() { dangling } else { from_env && piece.ends_with('$') })
}

fn value(expression: &str, lookup: Lookup<'_>) -> Result<String, String> {
    let (name, default) = match expression.split_once(":-") {
        Some((name, default)) => (name.trim(), Some(default)),
        None => (expression.trim(), None),
    };
    if name.is_empty() {
        return Err("${env.} names no environment variable; write ${env.NAME} or ${env.NAME:-default}".into());
    }
    let letters = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if !letters || name.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(format!(
            "{name:?} is not the name of an environment variable; write ${{env.NAME}} or ${{env.NAME:-default}}"
        ));
    }
    lookup(name)
        .or_else(|| default.map(str::to_owned))
        .ok_or_else(|| format!("environment variable {name} is not set; set it or write ${{env.{name}:-default}}"))
}
