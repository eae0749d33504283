//! From a path to a configuration: read, include, check shape, references and rules, convert, read secrets.

mod include;
mod read;
mod typed;

use std::path::Path;

use crate::catalog::Catalog;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::rules;
use crate::schema::compose;
use crate::sections::Config;
use crate::shape::Shape;
use crate::sources::Sources;
use crate::units::{SecretSource, UnitError};
use crate::yaml::FileId;

/// The lookup of environment variables, passed in so that tests need no real ones.
pub type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// A configuration without errors, and the sources it came from.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The configuration, includes united.
    pub config: Config,
    /// Its files, for errors of later stages.
    pub sources: Sources,
}

/// Loads a configuration file and all it includes.
///
/// # Errors
/// Every error in the files; one error without a place when the file itself cannot be read.
pub fn load(path: &Path, catalog: &Catalog, env: Env<'_>) -> Result<Loaded, Diagnostics> {
    let name = path.display().to_string();
    match read::read(path) {
        Ok(text) => load_text(&name, path, &text, catalog, env),
        Err(message) => Err(Diagnostic::without_place(&name, message).into()),
    }
}

/// Loads a configuration from a text that diagnostics call `name`. What it includes is looked for beside `name`.
///
/// # Errors
/// Every error in the text.
pub fn load_str(name: &str, text: &str, catalog: &Catalog, env: Env<'_>) -> Result<Loaded, Diagnostics> {
    match read::bounded(text.as_bytes().to_vec()) {
        Ok(text) => load_text(name, Path::new(name), &text, catalog, env),
        Err(message) => Err(Diagnostic::without_place(name, message).into()),
    }
}

fn load_text(name: &str, path: &Path, text: &str, catalog: &Catalog, env: Env<'_>) -> Result<Loaded, Diagnostics> {
    let include::United { sources, mut report, complete } = include::unite(name, path, text, env);
    let Some(root) = &sources.root else {
        return Err(Diagnostics::new(sources.dress_all(report)));
    };
    let schema = compose(catalog);
    let secrets = |source: &SecretSource, file: FileId| can_read(source, env, sources.folder_of(file));
    let mut shape = Shape::new(&schema, catalog).with_secrets(&secrets);
    shape.check_root(root);
    let Shape { report: shape_report, references, .. } = shape;
    report.findings.extend(shape_report.findings);
    report.masked.extend(shape_report.masked);
    // With a file missing, what seems undefined may be defined there.
    if complete {
        rules::check_references(root, &references, &mut report);
    }
    rules::check(root, catalog, &mut report);
    if !report.is_empty() {
        return Err(Diagnostics::new(sources.dress_all(report)));
    }
    match typed::convert(root, &sources, env) {
        Ok(config) => Ok(Loaded { config, sources }),
        Err(diagnostics) => Err(diagnostics),
    }
}

/// Whether a secret can be had, without reading a file: a pipe could be read only once.
fn can_read(source: &SecretSource, env: Env<'_>, folder: &Path) -> Result<(), UnitError> {
    match source {
        SecretSource::Env(_) => source.read(env, folder).map(drop),
        SecretSource::File(file) => {
            let found = std::fs::metadata(folder.join(file));
            let shown = file.display();
            match found {
                Ok(found) if found.is_dir() => Err(UnitError(format!("{shown} is a folder"))),
                Ok(_) => Ok(()),
                Err(error) => Err(UnitError(format!("cannot read {shown}: {}", read::plain(&error)))),
            }
        }
    }
}
