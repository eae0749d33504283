//! Files with errors of several stages: what of shape hides nothing of what only compiling finds, and nothing is said of
//! what follows from something else. `UPDATE_EXPECT=1 cargo test` writes the messages anew; read them before they are kept.

use std::fs;
use std::path::PathBuf;

use super::*;
use crate::builtin;

fn messages(path: &Path) -> Option<String> {
    let folder = format!("{}/", path.parent().unwrap().display());
    let registry = builtin::plugins(Registry::new());
    let errors = match load(path, &registry) {
        Ok(loaded) => Engine::check(&loaded, &registry).err()?.to_string(),
        Err(refused) => refused.to_string(),
    };
    Some(format!("{errors}\n").replace(&folder, ""))
}

#[test]
fn every_stage_tells_what_it_finds_at_once() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/broken");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    assert!(files.len() >= 10, "only {} files", files.len());
    let mut wrong = Vec::new();
    for path in files {
        let expected = path.with_extension("txt");
        let found = messages(&path).unwrap_or_else(|| "it loads\n".to_owned());
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            fs::write(expected, found).unwrap();
        } else if fs::read_to_string(expected).unwrap_or_default() != found {
            wrong.push(format!("{}:\n{found}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_message_shows_a_secret_that_an_earlier_stage_hid() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gateway.yaml");
    let text = "version: 1\nlisteners: [{ name: public, bind: '127.0.0.1:0' }]\nroutes:\n  - { name: a, match: { path: /a }, plugins: [jwt: { algorithms: [HS256], audience: a, keys: [{ secret: hunter2 }], consumer: { id: '${nope}' } }], respond: {} }\n";
    fs::write(&path, text).unwrap();
    let shown = messages(&path).unwrap();
    assert!(shown.contains("nope") && shown.contains("routes[0].plugins[0].jwt.keys[0].secret"), "{shown}");
    assert!(!shown.contains("hunter2"), "{shown}");
}
