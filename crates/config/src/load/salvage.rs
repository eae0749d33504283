//! What is sound of a file with errors, put together so that later stages can look at it as well.
//!
//! Names stay known: an upstream or a tier that is wrong is replaced by one that is not, and a step that is wrong by one
//! that does nothing. Positions in lists stay what they are, so that paths still lead to the file.

use std::str::FromStr as _;
use std::sync::Arc;

use serde_json::{Map, Value as Json, json};

use crate::doubt::Doubts;
use crate::path::{ConfigPath, Segment};
use crate::sections::BESIDE;
use crate::shape::Reference;
use crate::units::Name;
use crate::yaml::{Node, Value};

/// Notes every value that has no meaning because the environment lacks it.
pub(super) fn doubt_unknown(node: &Node, path: &mut ConfigPath, doubts: &mut Doubts) {
    match &node.value {
        Value::Scalar(_) if node.is_unknown() => doubts.insert(path.clone()),
        Value::Scalar(_) => {}
        Value::Seq(items) => {
            for (index, item) in items.iter().enumerate() {
                path.push(Segment::Index(index));
                doubt_unknown(item, path, doubts);
                path.pop();
            }
        }
        Value::Map(entries) => {
            for entry in entries.iter() {
                path.push(Segment::Key(Arc::clone(&entry.key.text)));
                doubt_unknown(&entry.value, path, doubts);
                path.pop();
            }
        }
    }
}

/// The sound parts of a file, as the types can read them.
pub(super) fn salvage(root: &Node, doubts: &Doubts, references: &[Reference]) -> Json {
    Salvage { root, doubts, nowhere: unused_chain(root) }.whole(references)
}

struct Salvage<'a> {
    root: &'a Node,
    doubts: &'a Doubts,
    /// A chain that does not exist: the types read `use` of it as no step at all.
    nowhere: String,
}

fn unused_chain(root: &Node) -> String {
    let mut name = "nowhere".to_owned();
    while root.get("chains").is_some_and(|chains| chains.get(&name).is_some()) {
        name.push_str("-x");
    }
    name
}

impl Salvage<'_> {
    fn whole(&self, references: &[Reference]) -> Json {
        let top = ConfigPath::root();
        let mut whole = self.sound_entries(self.root, &top);
        whole.insert("version".into(), 1.into());
        whole.shift_remove("include");
        whole.insert("listeners".into(), self.list("listeners", |at, node, index| self.listener(at, node, index)));
        whole.insert("routes".into(), self.list("routes", |at, node, index| self.route(at, node, index)));
        whole.insert("consumers".into(), self.list("consumers", |at, node, index| self.consumer(at, node, index)));
        whole.insert("chains".into(), self.map("chains", |at, node| self.steps(at, node)).into());
        let upstreams = self.named("upstreams", "upstream", "targets", &json!(["127.0.0.1:1"]), references);
        whole.insert("upstreams".into(), upstreams);
        whole.insert("tiers".into(), self.named("tiers", "tier", "rate", &json!("1/s"), references));
        whole.into()
    }

    /// The entries of a map in which nothing is wrong.
    fn sound_entries(&self, node: &Node, at: &ConfigPath) -> Map<String, Json> {
        let entries = node.entries().iter().filter(|entry| self.doubts.is_sound(&at.key(&entry.key.text)));
        entries.map(|entry| (entry.key.text.to_string(), entry.value.to_json())).collect()
    }

    fn list(&self, section: &str, item: impl Fn(&ConfigPath, &Node, usize) -> Json) -> Json {
        let at = ConfigPath::root().key(section);
        let items = self.root.get(section).map(Node::items).unwrap_or_default();
        items.iter().enumerate().map(|(index, node)| item(&at.index(index), node, index)).collect()
    }

    fn map(&self, section: &str, value: impl Fn(&ConfigPath, &Node) -> Json) -> Map<String, Json> {
        let at = ConfigPath::root().key(section);
        let entries = self.root.get(section).map(Node::entries).unwrap_or_default();
        let named = entries.iter().filter(|entry| Name::from_str(&entry.key.text).is_ok());
        named.map(|entry| (entry.key.text.to_string(), value(&at.key(&entry.key.text), &entry.value))).collect()
    }

    /// A section whose names others refer to. `required` is the one key that each of its values must have.
    fn named(&self, section: &str, kind: &str, required: &str, stub: &Json, references: &[Reference]) -> Json {
        let mut all = self.map(section, |at, node| {
            let mut value = self.sound_entries(node, at);
            value.entry(required).or_insert_with(|| stub.clone());
            value.into()
        });
        let wanted = references.iter().filter(|reference| reference.kind == kind);
        for name in wanted.map(|reference| &reference.name).filter(|name| Name::from_str(name).is_ok()) {
            all.entry(name.clone()).or_insert_with(|| json!({ required: stub }));
        }
        all.into()
    }

    fn listener(&self, at: &ConfigPath, node: &Node, index: usize) -> Json {
        let mut listener = self.sound_entries(node, at);
        listener.entry("name").or_insert_with(|| format!("listener-{index}").into());
        listener.entry("bind").or_insert_with(|| "127.0.0.1:0".into());
        self.put_steps(&mut listener, node, at);
        listener.into()
    }

    fn route(&self, at: &ConfigPath, node: &Node, index: usize) -> Json {
        let mut route = self.sound_entries(node, at);
        route.entry("name").or_insert_with(|| format!("route-{index}").into());
        let nested = |key: &str, inner: &[&str]| node.get(key).map(|node| self.nested(node, &at.key(key), inner));
        route.insert("match".into(), nested("match", &["headers", "query", "cookies"]).unwrap_or_default().into());
        if let Some(respond) = nested("respond", &["headers"]) {
            route.insert("respond".into(), respond.into());
        }
        if let Some(redirect) = nested("redirect", &[]).filter(|redirect| redirect.contains_key("to")) {
            route.insert("redirect".into(), redirect.into());
        }
        self.put_steps(&mut route, node, at);
        route.into()
    }

    /// The sound entries of a map, and of the maps in it that `inner` names.
    fn nested(&self, node: &Node, at: &ConfigPath, inner: &[&str]) -> Map<String, Json> {
        let mut map = self.sound_entries(node, at);
        for key in inner {
            if let Some(node) = node.get(key) {
                map.insert((*key).to_owned(), self.sound_entries(node, &at.key(key)).into());
            }
        }
        map
    }

    fn consumer(&self, at: &ConfigPath, node: &Node, index: usize) -> Json {
        let mut consumer = self.sound_entries(node, at);
        consumer.entry("name").or_insert_with(|| format!("consumer-{index}").into());
        consumer.into()
    }

    fn put_steps(&self, owner: &mut Map<String, Json>, node: &Node, at: &ConfigPath) {
        if let Some(steps) = node.get("plugins") {
            owner.insert("plugins".into(), self.steps(&at.key("plugins"), steps));
        }
    }

    fn steps(&self, at: &ConfigPath, steps: &Node) -> Json {
        // A list that is wrong as a whole may be longer than anybody should follow.
        if self.doubts.is_wrong_itself(at) {
            return Json::Array(Vec::new());
        }
        steps.items().iter().enumerate().map(|(index, step)| self.step(&at.index(index), step)).collect()
    }

    fn step(&self, at: &ConfigPath, step: &Node) -> Json {
        let is_wrong = self.doubts.is_wrong_itself(at);
        if step.str().is_some() && !is_wrong {
            return step.to_json();
        }
        let mut sound = self.sound_entries(step, at);
        sound.retain(|key, _| BESIDE.contains(&&**key));
        let mut actions = step.entries().iter().filter(|entry| !BESIDE.contains(&&*entry.key.text));
        let (key, action) = match (actions.next(), actions.next()) {
            (Some(only), None) if !is_wrong && self.doubts.is_sound(&at.key(&only.key.text)) => {
                (only.key.text.to_string(), only.value.to_json())
            }
            _ => ("use".to_owned(), self.nowhere.clone().into()),
        };
        sound.insert(key, action);
        sound.into()
    }
}
