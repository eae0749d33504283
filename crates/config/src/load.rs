//! From a path to a configuration: read, include, check shape, references and rules, convert, read secrets.

pub(crate) mod include;
pub(crate) mod read;
mod salvage;
mod typed;

use std::fmt;
use std::path::Path;

use crate::catalog::Catalog;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::doubt::Doubts;
use crate::named::named_files;
use crate::path::{ConfigPath, Segment};
use crate::redact::Known;
use crate::rules;
use crate::schema::compose;
use crate::sections::Config;
use crate::shape::{Notes, Reference, Shape, Text, UpstreamReference};
use crate::sources::Sources;
use crate::units::{SecretSource, UnitError};
use crate::yaml::FileId;

/// The lookup of environment variables, passed in so that tests need no real ones.
pub type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// A configuration, and the sources it came from.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The configuration, includes united.
    pub config: Config,
    /// Its files, for errors of later stages.
    pub sources: Sources,
    /// Templates, expressions and regular expressions in the settings of plugins.
    pub texts: Vec<Text>,
    /// Upstreams that the settings of plugins name.
    pub upstreams_of_plugins: Box<[UpstreamReference]>,
    /// What is wrong in the file; nothing, but for [`Refused::rest`].
    pub doubts: Doubts,
    /// What is no reason to refuse the file, and worth a word.
    pub warnings: Diagnostics,
}

/// A file with errors.
#[derive(Debug, Clone)]
pub struct Refused {
    /// Every error that can be told without compiling.
    pub errors: Diagnostics,
    /// What of the file is sound, for later stages to say what they find in it; never to be served. `None` when the file
    /// cannot be read as a configuration at all.
    pub rest: Option<Box<Loaded>>,
    /// The files it came from.
    pub sources: Sources,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.errors.fmt(f)
    }
}

impl std::error::Error for Refused {}

/// Loads a configuration file and all it includes.
///
/// # Errors
/// Every error in the files; one error without a place when the file itself cannot be read.
pub fn load(path: &Path, catalog: &Catalog, env: Env<'_>) -> Result<Loaded, Diagnostics> {
    examine(path, catalog, env).map_err(|refused| refused.errors)
}

/// Loads a configuration file and all it includes; of one with errors, gives what is sound as well.
///
/// # Errors
/// As [`load`].
pub fn examine(path: &Path, catalog: &Catalog, env: Env<'_>) -> Result<Loaded, Box<Refused>> {
    let name = path.display().to_string();
    match read::read(path) {
        Ok(text) => load_text(&name, path, &text, catalog, env),
        Err(message) => Err(unreadable(&name, message)),
    }
}

/// Loads a configuration from a text that diagnostics call `name`. What it includes is looked for beside `name`.
///
/// # Errors
/// Every error in the text.
pub fn load_str(name: &str, text: &str, catalog: &Catalog, env: Env<'_>) -> Result<Loaded, Diagnostics> {
    examine_str(name, text, catalog, env).map_err(|refused| refused.errors)
}

/// As [`examine`], from a text that diagnostics call `name`.
///
/// # Errors
/// As [`load`].
pub fn examine_str(name: &str, text: &str, catalog: &Catalog, env: Env<'_>) -> Result<Loaded, Box<Refused>> {
    match read::bounded(text.as_bytes().to_vec()) {
        Ok(text) => load_text(name, Path::new(name), &text, catalog, env),
        Err(message) => Err(unreadable(name, message)),
    }
}

fn unreadable(name: &str, message: String) -> Box<Refused> {
    let errors = Diagnostic::without_place(name, message).into();
    Box::new(Refused { errors, rest: None, sources: Sources::default() })
}

fn load_text(name: &str, path: &Path, text: &str, catalog: &Catalog, env: Env<'_>) -> Result<Loaded, Box<Refused>> {
    let include::United { mut sources, mut report, mut complete, values } = include::unite(name, path, text, env);
    let mut doubts = Doubts::default();
    for finding in report.errors.iter() {
        let path = sources.united(&finding.path, finding.span.file);
        complete &= path.segments().len() > 1;
        doubts.insert(path);
    }
    let Some(root) = sources.root.take() else {
        let errors = sources.dress_all(report.errors);
        return Err(Box::new(Refused { errors, rest: None, sources }));
    };
    let schema = compose(catalog);
    let secrets = |source: &SecretSource, file: FileId| can_read(source, env, sources.folder_of(file));
    let mut shape = Shape::new(&schema, catalog).with_secrets(&secrets);
    shape.check_root(&root);
    let Shape { report: mut found, notes: Notes { references, texts, plain, urls, .. }, .. } = shape;
    // With a file missing, what seems undefined may be defined there.
    if complete {
        rules::check_references(&root, &references, &mut found);
    } else {
        doubts.missed_something();
    }
    rules::check_upstreams(&root, &references, &mut found);
    rules::check(&root, catalog, &mut found);
    found.errors.iter().for_each(|finding| doubts.insert(finding.path.clone()));
    salvage::doubt_unknown(&root, &mut ConfigPath::root(), &mut doubts);
    report.append(found);
    sources.known = Known { plain, urls };
    let mut masked = std::mem::take(&mut report.masked);
    masked.extend(sources.known.literal_secrets(&root));
    sources.mask(masked);
    sources.root = Some(root);

    let warnings = sources.dress_all(report.warnings);
    let is_known = !report.errors.is_full();
    let mut errors = sources.dress_all(report.errors);
    // Of a file with more errors than are kept it is not known what is sound.
    if !is_known {
        return Err(Box::new(Refused { errors, rest: None, sources }));
    }
    let config = typed::convert(&sources, values, &references, &mut doubts, &mut errors, env);
    if let Some(config) = &config {
        let named = named_files(config, &sources);
        sources.wanted.extend(named);
    }
    let upstreams_of_plugins: Box<[_]> = references.into_iter().filter_map(of_plugin).collect();
    match (config, errors.is_empty()) {
        (Some(config), true) => Ok(Loaded { config, sources, texts, upstreams_of_plugins, doubts, warnings }),
        (config, _) => {
            let sources_of_rest = sources.clone();
            let rest = config.map(|config| {
                Box::new(Loaded { config, sources: sources_of_rest, texts, upstreams_of_plugins, doubts, warnings })
            });
            Err(Box::new(Refused { errors: errors.sorted(), rest, sources }))
        }
    }
}

/// The reference, if it is one to an upstream and stands in the settings of a plugin.
fn of_plugin(reference: Reference) -> Option<UpstreamReference> {
    let is_in_step = match reference.path.segments() {
        [Segment::Key(section), ..] if &**section == "chains" => true,
        [_, _, Segment::Key(key), ..] => &**key == "plugins",
        _ => false,
    };
    let Reference { kind, name, path, .. } = reference;
    (is_in_step && kind == "upstream").then_some(UpstreamReference { name, path })
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
