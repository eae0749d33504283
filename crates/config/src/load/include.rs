//! `include`: reads every file and unites them into one tree. Nothing overrides anything: a name defined twice is an
//! error that names both places.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Env, read};
use crate::path::ConfigPath;
use crate::report::Report;
use crate::sources::{File, Sources};
use crate::yaml::{Bounds, Entries, FileId, Lines, Node, Span, Value, parse};

/// Deeper is a maze, not a structure.
const MAX_DEPTH: usize = 8;
const MAX_FILES: usize = 1000;

/// Sections that are maps by name.
const MAPS: [&str; 3] = ["upstreams", "tiers", "chains"];
/// Sections that are lists.
const LISTS: [&str; 2] = ["routes", "consumers"];

/// All files of a configuration as one tree.
pub(super) struct United {
    pub(super) sources: Sources,
    pub(super) report: Report,
    /// Whether every file could be read.
    pub(super) complete: bool,
    /// How many values there are in all files, with what aliases stand for.
    pub(super) values: usize,
}

pub(super) fn unite(name: &str, path: &Path, text: &str, env: Env<'_>) -> United {
    let mut uniter = Uniter {
        env,
        bounds: Bounds::default(),
        united: United { sources: Sources::default(), report: Report::default(), complete: true, values: 0 },
        seen: HashMap::new(),
        depth: 0,
    };
    let root = uniter.parse(name, path, text);
    if let Some(mut root) = root {
        uniter.seen.insert(canonical(path), Span::default());
        let includes = root.get("include").cloned();
        if let Some(includes) = includes {
            uniter.include(&includes, path, &mut root);
        }
        uniter.united.sources.root = Some(root);
    }
    uniter.united.values = uniter.bounds.values();
    uniter.united
}

/// A file and what diagnostics call it.
struct Named {
    path: PathBuf,
    name: String,
}

struct Uniter<'a> {
    env: Env<'a>,
    bounds: Bounds,
    united: United,
    /// Every file that was read, with the place that included it.
    seen: HashMap<PathBuf, Span>,
    depth: usize,
}

impl Uniter<'_> {
    fn parse(&mut self, name: &str, path: &Path, text: &str) -> Option<Node> {
        let files = &mut self.united.sources.files;
        let file = FileId(u16::try_from(files.len()).ok()?);
        let lines = Lines::new(text.into());
        files.push(File { name: name.into(), path: path.to_owned(), lines });
        let report = &mut self.united.report;
        let before = report.errors.count();
        let root = parse(text, file, self.env, &mut self.bounds, report);
        let start = Span { file, line: 1, column: 1, end_line: 1, end_column: 1 };
        match root {
            Some(root) if matches!(root.value, Value::Map(_)) => Some(root),
            Some(root) if root.is_null() => {
                report.error(ConfigPath::root(), start, "the file is empty");
                None
            }
            Some(root) => {
                report.error(
                    ConfigPath::root(),
                    root.span,
                    "the file must be a map of sections: version, listeners, routes and so on",
                );
                None
            }
            None => {
                if report.errors.count() == before {
                    report.error(ConfigPath::root(), start, "the file is empty");
                }
                None
            }
        }
    }

    /// Reads what a list of includes names and unites it with `root`.
    fn include(&mut self, includes: &Node, from: &Path, root: &mut Node) {
        for (index, item) in includes.items().iter().enumerate() {
            // A wrong shape of the list is the schema's to report.
            let Some(pattern) = item.str() else {
                continue;
            };
            let at = ConfigPath::root().key("include").index(index);
            let folder = from.parent().unwrap_or_else(|| Path::new(""));
            self.united.sources.wanted.push(folder.join(pattern));
            match expand(pattern, from) {
                Ok(paths) => {
                    for file in paths {
                        self.include_file(&file, from, item.span, &at, root);
                    }
                }
                Err(message) => {
                    self.united.complete = false;
                    self.united.report.error(at, item.span, message);
                }
            }
        }
    }

    fn include_file(&mut self, file: &Named, from: &Path, by: Span, at: &ConfigPath, root: &mut Node) {
        let Named { path, name } = file;
        let canonical = canonical(path);
        if let Some(first) = self.seen.get(&canonical).copied() {
            let message = if canonical == self::canonical(from) {
                format!("{name} includes itself")
            } else if first == Span::default() {
                format!("{name} is the main file; includes go one way")
            } else {
                format!("{name} is included twice")
            };
            let others =
                if first == Span::default() { Vec::new() } else { vec![("first included here".into(), first)] };
            return self.united.report.error_with(at.clone(), by, message, others);
        }
        if self.depth >= MAX_DEPTH || self.seen.len() >= MAX_FILES {
            let message = format!("more than {MAX_DEPTH} includes deep, or more than {MAX_FILES} files");
            self.united.complete = false;
            return self.united.report.error(at.clone(), by, message);
        }
        self.seen.insert(canonical, by);
        let text = read::read(path).and_then(|text| self.bounds.take_source(text.len()).map(|()| text));
        let text = match text {
            Ok(text) => text,
            Err(message) => {
                self.united.complete = false;
                return self.united.report.error(at.clone(), by, format!("{name}: {message}"));
            }
        };
        let Some(part) = self.parse(name, path, &text) else {
            self.united.complete = false;
            return;
        };
        self.depth += 1;
        let includes = part.get("include").cloned();
        self.add(part, root);
        if let Some(includes) = includes {
            self.include(&includes, path, root);
        }
        self.depth -= 1;
    }

    /// Unites the sections of an included file with those of the whole.
    fn add(&mut self, part: Node, root: &mut Node) {
        let (Value::Map(whole), Value::Map(sections)) = (&mut root.value, part.value) else {
            return;
        };
        for section in sections {
            let name = Arc::clone(&section.key.text);
            let (is_map, is_list) = (MAPS.contains(&&*name), LISTS.contains(&&*name));
            if &*name == "include" {
                continue;
            }
            let fits = match section.value.value {
                Value::Map(_) => is_map,
                Value::Seq(_) => is_list,
                Value::Scalar(_) => false,
            };
            let path = ConfigPath::root().key(&name);
            if !fits {
                let message = if is_map {
                    "expected a map of names".to_owned()
                } else if is_list {
                    "expected a list".to_owned()
                } else {
                    format!("an included file may hold only {}, {} and include", MAPS.join(", "), LISTS.join(", "))
                };
                self.united.report.error(path, section.key.span, message);
                continue;
            }
            match whole.get_mut(&name) {
                None => whole.push(section),
                Some(entry) => match (&mut entry.value.value, section.value.value) {
                    (Value::Seq(all), Value::Seq(more)) => all.extend(more),
                    (Value::Map(all), Value::Map(more)) => {
                        add_names(all, more, &path, &mut self.united.report);
                    }
                    _ => {}
                },
            }
        }
    }
}

fn add_names(all: &mut Entries, more: Entries, path: &ConfigPath, report: &mut Report) {
    for entry in more {
        match all.get(&entry.key.text).map(|first| first.key.span) {
            None => all.push(entry),
            Some(first) => report.error_with(
                path.key(&entry.key.text),
                entry.key.span,
                format!("{:?} is defined twice", entry.key.text),
                vec![("first defined here".into(), first)],
            ),
        }
    }
}

/// The files that an include names, each with its path and the name diagnostics give it; in order of their names.
fn expand(pattern: &str, from: &Path) -> Result<Vec<Named>, String> {
    let folder = from.parent().unwrap_or_else(|| Path::new(""));
    let path = folder.join(pattern);
    let named = |path: PathBuf| {
        let name = path.display().to_string();
        Named { path, name }
    };
    let file_name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if path.parent().is_some_and(|parent| parent.display().to_string().contains('*')) {
        return Err(format!("{pattern:?}: * may stand in the file name only, not in a folder"));
    }
    if !file_name.contains('*') {
        return Ok(vec![named(path)]);
    }
    Ok(listed(&path)?.into_iter().map(named).collect())
}

/// The files that a path with `*` in its file name stands for, by name.
fn listed(pattern: &Path) -> Result<Vec<PathBuf>, String> {
    let file_name = pattern.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let parent = pattern.parent().filter(|parent| !parent.as_os_str().is_empty());
    let folder = parent.unwrap_or_else(|| Path::new("."));
    let entries = std::fs::read_dir(folder)
        .map_err(|error| format!("cannot list {}: {}", folder.display(), read::plain(&error)))?;
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| fits(file_name, name))
        .collect();
    names.sort();
    Ok(names.into_iter().map(|name| parent.map_or_else(|| PathBuf::from(&name), |p| p.join(&name))).collect())
}

/// The files that something of [`Sources::wanted`] stands for: those that fit a pattern, by name; none for the path of a
/// single file, and none where the folder cannot be listed.
#[must_use]
pub fn matching(wanted: &Path) -> Vec<PathBuf> {
    let is_pattern = wanted.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.contains('*'));
    if is_pattern { listed(wanted).unwrap_or_default() } else { Vec::new() }
}

/// Whether a file name fits a pattern in which `*` stands for any text. Hidden files fit only a pattern with a dot.
fn fits(pattern: &str, name: &str) -> bool {
    if name.starts_with('.') && !pattern.starts_with('.') {
        return false;
    }
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else {
        return false;
    };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else {
        return rest.is_empty();
    };
    for part in middle {
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last)
}

fn canonical(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}
