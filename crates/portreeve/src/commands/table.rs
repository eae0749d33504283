//! `portreeve routes`: the compiled table. The admin port shows the same rows.

use std::fmt::Write;
use std::process::ExitCode;

use portreeve_config::{Config, Route, WeightedUpstream};
use portreeve_plugin::Registry;
use serde::Serialize;

use super::{File, WRONG, complain, print};
use crate::load::load;

/// One route as it is shown.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    name: String,
    place: String,
    hosts: Vec<String>,
    paths: Vec<String>,
    methods: Vec<String>,
    public: bool,
    /// The steps in the order they run, through every `use`.
    chain: Vec<String>,
    end: String,
}

/// The routes in the order of the file.
pub(crate) fn rows(config: &Config) -> Vec<Row> {
    config.routes.iter().map(|route| row(config, route)).collect()
}

fn row(config: &Config, route: &Route) -> Row {
    let words = |words: &[String], any: &str| if words.is_empty() { vec![any.to_owned()] } else { words.to_vec() };
    let steps = config.flatten(&route.plugins);
    Row {
        name: route.name.to_string(),
        place: route.at.to_string(),
        hosts: words(&route.matches.host, "*"),
        paths: words(&route.matches.path, "/**"),
        methods: route.matches.methods.iter().map(ToString::to_string).collect(),
        public: route.public,
        chain: steps.iter().map(|step| step.plugin.to_owned()).collect(),
        end: end(route, steps.last().map(|step| step.plugin)),
    }
}

fn end(route: &Route, last: Option<&str>) -> String {
    if let Some(upstreams) = &route.upstream {
        return match &**upstreams {
            [only] => only.name.to_string(),
            many => {
                let told = |share: &WeightedUpstream| match &share.when {
                    Some(when) => format!("{} {} or when {when}", share.name, share.share()),
                    None => format!("{} {}", share.name, share.share()),
                };
                let shares: Vec<_> = many.iter().map(told).collect();
                shares.join(", ")
            }
        };
    }
    if let Some(respond) = &route.respond {
        return format!("respond {}", respond.status);
    }
    if let Some(redirect) = &route.redirect {
        return format!("redirect {}", redirect.to);
    }
    last.unwrap_or("").to_owned()
}

pub(super) fn routes(registry: &Registry, file: &File) -> ExitCode {
    let loaded = match load(&file.config, registry) {
        Ok(loaded) => loaded,
        Err(refused) => return complain(&refused.to_string(), WRONG),
    };
    let rows: Vec<[String; 6]> = rows(&loaded.config).into_iter().map(cells).collect();
    let head = ["ROUTE", "HOST", "METHOD", "PATH", "CHAIN", "END"].map(str::to_owned);
    let all = || std::iter::once(&head).chain(&rows);
    let widths: Vec<usize> =
        (0..head.len()).map(|i| all().filter_map(|row| Some(row.get(i)?.chars().count())).max().unwrap_or(0)).collect();
    let text = all().fold(String::new(), |mut text, row| {
        for (cell, width) in row.iter().zip(&widths) {
            write!(text, "{cell:width$}  ").ok();
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
        text
    });
    print(&text)
}

fn cells(row: Row) -> [String; 6] {
    let methods = if row.methods.is_empty() { "*".to_owned() } else { row.methods.join(",") };
    let mut chain = row.chain.join(" > ");
    if row.public {
        chain.push_str(if chain.is_empty() { "(public)" } else { " (public)" });
    }
    [row.name, row.hosts.join(" "), methods, row.paths.join(" "), chain, row.end]
}
