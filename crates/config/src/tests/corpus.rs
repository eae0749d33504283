//! The corpus: every broken file has its expected messages beside it, every valid file loads.
//!
//! The first line of a broken file says who refuses it: `# by: yaml`, `# by: schema` (an editor sees it too) or
//! `# by: rules`. `UPDATE_EXPECT=1 cargo test` writes the messages anew; read them before they are kept.

use std::fs;
use std::path::PathBuf;

use super::{catalog, env, folder};
use crate::report::Report;
use crate::yaml::{Bounds, FileId, Node, Scalar, Value, parse};
use crate::{load_str, schema};

/// The YAML files of a folder with their texts.
fn files(name: &str) -> Vec<(PathBuf, String)> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder(name))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    paths.sort();
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        (path, text)
    };
    paths.into_iter().map(read).collect()
}

/// Loads a corpus file so that messages name it without its folder.
fn messages(path: &std::path::Path, text: &str) -> Option<String> {
    let name = path.to_str().unwrap();
    let parent = format!("{}/", path.parent().unwrap().display());
    let errors = load_str(name, text, &catalog(), &env).err()?;
    Some(format!("{errors}\n").replace(&parent, ""))
}

#[test]
fn every_broken_file_gets_its_messages() {
    let update = std::env::var_os("UPDATE_EXPECT").is_some();
    let broken = files("broken");
    assert!(broken.len() >= 80, "only {} broken files", broken.len());
    let mut wrong = Vec::new();
    for (path, text) in broken {
        let expected_path = path.with_extension("txt");
        let shown = path.file_name().unwrap().to_string_lossy().into_owned();
        let Some(found) = messages(&path, &text) else {
            wrong.push(format!("{shown} loads"));
            continue;
        };
        if update {
            fs::write(&expected_path, &found).unwrap();
        } else if fs::read_to_string(&expected_path).unwrap_or_default() != found {
            wrong.push(format!("{shown}:\n{found}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_valid_file_loads() {
    for (path, text) in files("valid") {
        let found = messages(&path, &text);
        assert!(found.is_none(), "{}", found.unwrap_or_default());
    }
}

/// A YAML text as JSON as an editor would see it: `${env.…}` as written.
fn json(text: &str) -> Option<serde_json::Value> {
    let mut report = Report::default();
    let anything = |_: &str| Some(String::new());
    let root = parse(text, FileId(0), &anything, &mut Bounds::default(), &mut report)?;
    report.is_empty().then(|| as_written(&root))
}

fn as_written(node: &Node) -> serde_json::Value {
    match &node.value {
        Value::Scalar(Scalar { written: Some(written), .. }) => (**written).into(),
        Value::Scalar(scalar) => scalar.to_json(),
        Value::Seq(items) => items.iter().map(as_written).collect(),
        Value::Map(entries) => entries.iter().map(|e| (e.key.text.to_string(), as_written(&e.value))).collect(),
    }
}

#[test]
fn the_schema_accepts_the_valid_and_refuses_what_a_schema_can_refuse() {
    let schema = schema(&catalog());
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    let mut wrong = Vec::new();
    for (path, text) in files("valid") {
        let json = json(&text).unwrap();
        wrong.extend(
            validator.iter_errors(&json).map(|error| format!("{}: {} {error}", path.display(), error.instance_path())),
        );
    }
    for (path, text) in files("broken") {
        let shown = path.file_name().unwrap().to_string_lossy().into_owned();
        let accepted = json(&text).map(|json| validator.is_valid(&json));
        match (text.lines().next(), accepted) {
            (Some("# by: schema"), Some(false)) | (Some("# by: rules"), Some(true)) | (Some("# by: yaml"), _) => {}
            (first, accepted) => wrong.push(format!("{shown}: {first:?}, accepted by the schema: {accepted:?}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
