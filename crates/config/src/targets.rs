//! A file of targets, as `discover: { file: … }` names it: read on its own, again and again, while the gateway runs.

use std::path::Path;
use std::sync::Arc;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::Deserialize;

use crate::catalog::Catalog;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::load::read;
use crate::path::ConfigPath;
use crate::report::Report;
use crate::rules::check_twice;
use crate::sections::Target;
use crate::shape::Shape;
use crate::sources::{File, Sources};
use crate::units::Host;
use crate::yaml::{Bounds, FileId, Lines, Node, parse};

/// The form of the file, with the most targets it may hold.
#[derive(Deserialize, JsonSchema)]
#[serde(transparent)]
struct TargetList(#[schemars(length(max = 4_096))] Vec<Target>);

/// Reads a file of targets: a list in the form of an upstream's `targets`, of IP addresses.
///
/// # Errors
/// Everything that is wrong with it, with line and column; one error without a place when it cannot be read. A file in which
/// nobody could be chosen, for it is empty or all weights are 0, is fine here: the caller keeps what it had.
pub fn read_targets(path: &Path) -> Result<Vec<Target>, Diagnostics> {
    let name = path.display().to_string();
    let text = read::read(path).map_err(|message| Diagnostics::from(Diagnostic::without_place(&name, message)))?;
    parse_targets(&name, &text)
}

/// Reads a list of targets from a text that diagnostics call `name`.
///
/// # Errors
/// As [`read_targets`].
pub fn parse_targets(name: &str, text: &str) -> Result<Vec<Target>, Diagnostics> {
    let mut report = Report::default();
    // The environment has no part in a file that another program writes.
    let root = parse(text, FileId(0), &|_| None, &mut Bounds::default(), &mut report);
    let text: Arc<str> = text.into();
    let file = File { name: name.into(), path: name.into(), lines: Lines::new(text) };
    let mut sources = Sources { files: vec![file], ..Sources::default() };
    let Some(root) = root.filter(|_| report.is_empty()) else {
        return Err(sources.dress_all(report.errors));
    };
    check(&root, &mut report);
    let json = root.to_json();
    sources.root = Some(root);
    if !report.is_empty() {
        return Err(sources.dress_all(report.errors));
    }
    let read: Result<TargetList, _> = serde_path_to_error::deserialize(json);
    read.map(|TargetList(targets)| targets).map_err(|error| {
        let path = ConfigPath::root().join(&error.path().to_string());
        sources.diagnostic(&path, error.inner().to_string()).into()
    })
}

fn check(root: &Node, report: &mut Report) {
    let schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<TargetList>().to_value();
    let catalog = Catalog::default();
    let mut shape = Shape::new(&schema, &catalog);
    shape.check_root(root);
    report.append(shape.report);
    let top = ConfigPath::root();
    check_twice(root, "address", &top, report);
    for (index, item) in root.items().iter().enumerate() {
        let named = item.get("address").unwrap_or(item);
        let address = named.str().and_then(|text| text.parse::<crate::units::Address>().ok());
        if let Some(address) = address.filter(|address| matches!(address.host, Host::Name(_))) {
            let message =
                format!("{address} is a name; a file of targets holds IP addresses, and names go to targets:");
            report.error(top.index(index), named.span, message);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX_TARGETS: usize = 4_096;

    fn refused(text: &str) -> String {
        parse_targets("targets.yaml", text).unwrap_err().to_string()
    }

    #[test]
    fn a_file_of_targets_has_the_forms_of_targets_in_yaml_and_in_json() {
        let yaml = "- 10.0.0.1:80\n- { address: \"[::1]:81\", weight: 3 }\n";
        let json = r#"["10.0.0.1:80", {"address": "[::1]:81", "weight": 3}]"#;
        let targets = parse_targets("targets.yaml", yaml).unwrap();
        assert_eq!(targets, parse_targets("targets.json", json).unwrap());
        let read: Vec<_> = targets.iter().map(|target| (target.address.to_string(), target.weight)).collect();
        assert_eq!(read, [("10.0.0.1:80".to_owned(), 1), ("[::1]:81".to_owned(), 3)]);
        assert_eq!(parse_targets("targets.yaml", "[]").unwrap(), []);
    }

    #[test]
    fn a_broken_file_of_targets_is_told_with_line_and_column() {
        let all = refused(
            "- 10.0.0.1:80\n- 10.0.0.2\n- { address: 10.0.0.3:80, wieght: 2 }\n- users.internal:80\n- 10.0.0.1:80\n",
        );
        for expected in [
            "targets.yaml:2:3: [1]: 10.0.0.2 has no port",
            "targets.yaml:3:27: [2].wieght: unknown key; did you mean \"weight\"?",
            "targets.yaml:4:3: [3]: users.internal:80 is a name; a file of targets holds IP addresses",
            "targets.yaml:5:3: [4]: \"10.0.0.1:80\" stands twice in this list",
        ] {
            assert!(all.contains(expected), "{expected}\n{all}");
        }
        assert!(
            refused("targets: [10.0.0.1:80]").contains("targets.yaml:1:1: expected a list"),
            "{}",
            refused("targets: []")
        );
        assert!(refused("[10.0.0.1:80").contains("targets.yaml:1:"));
        assert!(refused("- ${env.HOME}:80").contains("HOME"));
    }

    #[test]
    fn a_file_of_targets_is_bounded() {
        let many = |count: usize| {
            (0..count).map(|n| format!("- 10.0.{}.{}:80\n", n / 250, n % 250)).collect::<Vec<_>>().concat()
        };
        assert_eq!(parse_targets("t", &many(MAX_TARGETS)).unwrap().len(), MAX_TARGETS);
        assert!(refused(&many(MAX_TARGETS + 1)).contains("4096"));
    }
}
