//! The house rules (design §1, docs/adr/0001): floors, sizes, opening sentences, and everything that is generated or shown.

#[cfg(test)]
mod architecture {
    use std::collections::{BTreeMap, BTreeSet};
    use std::fs;
    use std::path::{Path, PathBuf};
    use std::process::ExitCode;

    use cargo_metadata::{Metadata, MetadataCommand, Package};
    use custom_plugin::Maintenance;
    use portreeve::Gateway;
    use portreeve_tests::Process;

    const PROGRAM: &str = env!("CARGO_BIN_EXE_portreeve-under-test");
    /// The longest source file, without its tests.
    const MAX_LINES: usize = 600;
    /// Files that may hold unsafe code, with their ADR: 22.
    const UNSAFE: [&str; 2] = ["crates/portreeve/src/allocator.rs", "crates/proxy/tests/allocations.rs"];

    fn root() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
    }

    fn metadata() -> Metadata {
        MetadataCommand::new()
            .manifest_path(root().join("Cargo.toml"))
            .no_deps()
            .other_options(["--offline".into()])
            .exec()
            .unwrap()
    }

    /// The folder of a package below the root: `plugins/jwt`.
    fn folder(package: &Package) -> String {
        let folder = package.manifest_path.parent().unwrap().as_std_path();
        folder.strip_prefix(root()).unwrap().to_str().unwrap().to_owned()
    }

    /// Every file below a folder of the repository with this ending, by its path from the root.
    fn files(below: &str, ending: &str) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut folders = vec![root().join(below)];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten() {
                let path = entry.unwrap().path();
                let name = path.file_name().unwrap().to_str().unwrap();
                if path.is_dir() {
                    // What cargo and fuzzers make is nobody's source.
                    if !["target", "corpus", "artifacts", "coverage"].contains(&name) {
                        folders.push(path);
                    }
                } else if name.ends_with(ending) {
                    found.push(path.strip_prefix(root()).unwrap().to_owned());
                }
            }
        }
        found.sort();
        found
    }

    fn sources() -> Vec<PathBuf> {
        ["crates", "plugins", "examples", "tests"].iter().flat_map(|below| files(below, ".rs")).collect()
    }

    /// The sources that know Pingora.
    fn engine_sources() -> impl Iterator<Item = PathBuf> {
        ["crates/proxy/src", "crates/upstream/src"].into_iter().flat_map(|below| files(below, ".rs"))
    }

    fn read(path: impl AsRef<Path>) -> String {
        let path = root().join(path);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// Fails with every breach at once.
    fn none(rule: &str, breaches: impl IntoIterator<Item = String>) {
        let breaches: Vec<_> = breaches.into_iter().collect();
        assert!(breaches.is_empty(), "{rule}:\n  {}", breaches.join("\n  "));
    }

    #[test]
    fn each_floor_depends_on_lower_floors_only() {
        let metadata = metadata();
        let ours: BTreeMap<&str, String> =
            metadata.packages.iter().map(|package| (package.name.as_str(), folder(package))).collect();
        let may = |folder: &str| -> Option<&[&str]> {
            Some(match folder {
                "crates/units" | "crates/wire" | "crates/balance" | "crates/log" => &[],
                "crates/plugin" | "crates/config" | "crates/router" | "crates/usage" => &["crates/units"],
                "crates/connection" => &["crates/wire"],
                "crates/upstream" => &[
                    "crates/units",
                    "crates/balance",
                    "crates/wire",
                    "crates/plugin",
                    "crates/config",
                    "crates/connection",
                ],
                "crates/proxy" => &[
                    "crates/units",
                    "crates/balance",
                    "crates/connection",
                    "crates/upstream",
                    "crates/log",
                    "crates/usage",
                    "crates/wire",
                    "crates/plugin",
                    "crates/config",
                    "crates/router",
                ],
                plugin if plugin.starts_with("plugins/") => &["crates/plugin"],
                example if example.starts_with("examples/") => &["crates/plugin", "crates/portreeve"],
                "crates/portreeve" | "tests" => return None,
                unknown => panic!("{unknown} stands on no floor: add it here and to docs/adr/0001"),
            })
        };
        let mut breaches = Vec::new();
        for package in &metadata.packages {
            let from = folder(package);
            let Some(allowed) = may(&from) else { continue };
            // Also for tests: a plugin that needs the engine to be tested is one that a stranger could not have written.
            for to in package.dependencies.iter().filter_map(|dependency| ours.get(dependency.name.as_str())) {
                if *to != from && !allowed.contains(&to.as_str()) {
                    breaches.push(format!("{from} depends on {to}"));
                }
            }
        }
        none("a crate depends on lower floors only", breaches);
        none(
            "nothing below depends on the binary or the tests",
            metadata
                .packages
                .iter()
                .filter(|package| !["tests", "crates/portreeve"].contains(&folder(package).as_str()))
                .flat_map(|package| {
                    let bad = package.dependencies.iter().filter(|dependency| dependency.name == "portreeve-tests");
                    bad.map(|dependency| format!("{} depends on {}", package.name, dependency.name)).collect::<Vec<_>>()
                }),
        );
    }

    #[test]
    fn only_the_engine_knows_pingora() {
        let metadata = metadata();
        let breaches = metadata.packages.iter().flat_map(|package| {
            let from = folder(package);
            let pingoras = package.dependencies.iter().filter(|dependency| dependency.name.starts_with("pingora"));
            let bad = pingoras.filter(|dependency| match from.as_str() {
                "crates/proxy" | "crates/upstream" => false,
                "crates/plugin" => dependency.name != "pingora-http",
                // The bare Pingora that the benches compare with.
                "tests" => dependency.kind != cargo_metadata::DependencyKind::Development,
                _ => true,
            });
            bad.map(|dependency| format!("{from} depends on {}", dependency.name)).collect::<Vec<_>>()
        });
        none("pingora* stands in crates/proxy and crates/upstream, and pingora-http in crates/plugin", breaches);
    }

    /// An algorithm has one way in: as a `BackendSelection` of pingora-load-balancing.
    #[test]
    fn only_the_selection_of_a_pool_picks_targets() {
        let selection = Path::new("crates/upstream/src/selection.rs");
        let names = |path: &PathBuf| {
            let text = read(path);
            let mut words = text.split(|c: char| !c.is_alphanumeric() && c != '_');
            words.any(|word| ["Picker", "Search"].contains(&word))
        };
        assert!(names(&selection.to_owned()), "the rule looks for what is no longer there");
        let engine = engine_sources().filter(|path| path != selection);
        none(
            "of the engine, selection.rs alone names the picker of crates/balance",
            engine.filter(names).map(|path| path.display().to_string()),
        );
    }

    /// How many lines a source has beside what is built for its tests alone, wherever that stands.
    fn lines_without_tests(source: &str) -> usize {
        let mut lines = source.lines();
        let mut count = 0;
        while let Some(line) = lines.next() {
            if line != "#[cfg(test)]" {
                count += 1;
                continue;
            }
            // An item ends with its line, or where its brace closes.
            let is_end = |line: &str| line == "}" || (line.ends_with(';') && !line.starts_with(' '));
            lines.by_ref().find(|line| is_end(line));
        }
        count
    }

    #[test]
    fn what_is_behind_a_test_counts_for_the_size_of_a_file() {
        let source = "a\n#[cfg(test)]\nmod tests {\n    x;\n}\nb\n#[cfg(test)]\nmod more;\n#[cfg(test)]\nuse a;\nc\n";
        assert_eq!(lines_without_tests(source), 3);
    }

    /// docs/adr/0033. Without its TLS feature, Pingora's connector takes whatever is written over TLS for sent, and sends nothing.
    #[test]
    fn no_way_leads_to_pingoras_connector() {
        let tls = ["rustls", "openssl", "boringssl", "s2n", "any_tls", "openssl_derived"];
        let metadata = metadata();
        let breaches = metadata.packages.iter().flat_map(|package| {
            let pingoras = package.dependencies.iter().filter(|dependency| dependency.name.starts_with("pingora"));
            let bad = pingoras.filter(|dependency| dependency.features.iter().any(|name| tls.contains(&name.as_str())));
            bad.map(|dependency| format!("{} builds {} with TLS", package.name, dependency.name)).collect::<Vec<_>>()
        });
        none("Pingora is built without TLS", breaches);
        let lock = read("Cargo.lock");
        let stacks = ["rustls", "openssl", "boringssl", "s2n"].map(|name| format!("name = \"pingora-{name}\""));
        none("no crate of Pingora's with TLS is in the build", stacks.into_iter().filter(|name| lock.contains(name)));

        let names = ["connectors", "BasicPeer", "ProxyTo", "v1::client", "v2::client", "http::client"];
        let mut breaches = Vec::new();
        for path in engine_sources() {
            let text = read(&path);
            let code = || text.lines().map(|line| line.split("//").next().unwrap_or_default());
            // `upstream_peer`, which makes none.
            let peers = code().filter(|line| line.contains("HttpPeer")).count();
            if peers > if path.ends_with("phases.rs") { 2 } else { 0 } {
                breaches.push(format!("{}: HttpPeer", path.display()));
            }
            let named =
                names.iter().filter(|name| code().any(|line| line.contains("pingora") && line.contains(**name)));
            breaches.extend(named.map(|name| format!("{}: {name}", path.display())));
            if code().any(|line| line.contains("HttpPeer::new")) {
                breaches.push(format!("{}: makes a peer", path.display()));
            }
        }
        none("nothing of the engine names Pingora's connector or makes a peer for it", breaches);
        let phases = read("crates/proxy/src/request/phases.rs");
        let peer = phases.split_once("async fn upstream_peer").expect("there is no upstream_peer").1;
        let body = peer.split_once("{\n").unwrap().1.split_once("\n    }").unwrap().0;
        assert!(body.trim().starts_with("Error::e_explain(") && body.lines().count() == 1, "{body}");
    }

    #[test]
    fn no_source_file_is_longer_than_600_lines_without_its_tests() {
        let is_test = |path: &Path| {
            let path = path.to_str().unwrap();
            path.contains("/tests") || path.contains("/benches/") || path.ends_with("tests.rs")
        };
        let sources = ["crates", "plugins"].iter().flat_map(|below| files(below, ".rs")).filter(|path| !is_test(path));
        let long = sources.filter_map(|path| {
            let lines = lines_without_tests(&read(&path));
            (lines > MAX_LINES).then(|| format!("{}: {lines} lines", path.display()))
        });
        none("a source file has at most 600 lines without its tests", long);
    }

    #[test]
    fn every_source_file_opens_with_what_it_is_for() {
        let silent = sources().into_iter().filter(|path| !read(path).starts_with("//!"));
        none("a source file opens with //!", silent.map(|path| path.display().to_string()));
    }

    #[test]
    fn no_source_file_holds_unsafe_code() {
        let code =
            |line: &str| line.split("//").next().unwrap_or_default().split_whitespace().any(|word| word == "unsafe");
        let bad = sources()
            .into_iter()
            .filter(|path| !UNSAFE.contains(&path.to_str().unwrap()) && read(path).lines().any(code));
        none("unsafe code stands in files of the list with an ADR", bad.map(|path| path.display().to_string()));
    }

    #[test]
    fn nothing_is_left_open_in_the_code() {
        let marks = [
            ["todo", "!("].concat(),
            ["unimplemented", "!("].concat(),
            ["#[ig", "nore"].concat(),
            ["FIX", "ME"].concat(),
        ];
        let open = sources().into_iter().filter(|path| {
            let text = read(path);
            marks.iter().any(|mark| text.contains(mark.as_str()))
        });
        none("nothing is left open", open.map(|path| path.display().to_string()));
    }

    /// The arguments of each call of a macro of `tracing` in a source, as text.
    fn events(source: &str) -> Vec<Vec<String>> {
        let calls = ["error", "warn", "info", "debug", "trace"].map(|level| format!("tracing::{level}!("));
        let mut found = Vec::new();
        for call in calls {
            for (at, _) in source.match_indices(&call) {
                let (mut arguments, mut depth, mut is_text, mut before) = (vec![String::new()], 0, false, ' ');
                for c in source.split_at(at + call.len()).1.chars() {
                    match c {
                        '"' if before != '\\' => is_text = !is_text,
                        '(' | '[' | '{' if !is_text => depth += 1,
                        ')' if !is_text && depth == 0 => break,
                        ')' | ']' | '}' if !is_text => depth -= 1,
                        _ => {}
                    }
                    before = c;
                    if c == ',' && !is_text && depth == 0 {
                        arguments.push(String::new());
                    } else {
                        arguments.last_mut().unwrap().push(c);
                    }
                }
                found.push(arguments);
            }
        }
        found
    }

    /// The names of its fields: `upstream = %name`, `%error`, `generation`.
    fn fields(arguments: &[String]) -> Vec<String> {
        let arguments =
            arguments.iter().map(|argument| argument.trim()).filter(|argument| !argument.starts_with("target:"));
        let fields = arguments.filter(|argument| !argument.is_empty() && !argument.starts_with('"'));
        fields.map(|field| field.split('=').next().unwrap().trim().trim_start_matches(['%', '?']).to_owned()).collect()
    }

    /// A line of the log has names of its own, and each name once.
    #[test]
    fn no_line_of_the_log_has_a_name_twice() {
        let reserved = ["time", "timestamp", "level", "message", "module", "fields"];
        let mut count = 0;
        let mut breaches = Vec::new();
        for path in sources().into_iter().filter(|path| !path.starts_with("crates/log") && !path.starts_with("tests")) {
            for arguments in events(&read(&path)) {
                count += 1;
                let mut known = BTreeSet::from(reserved.map(str::to_owned));
                let twice = fields(&arguments).into_iter().filter(|name| !known.insert(name.clone()));
                breaches.extend(twice.map(|name| format!("{}: {name} in {arguments:?}", path.display())));
            }
        }
        assert!(count > 50, "{count} events");
        none("a line of the log has each name once", breaches);
    }

    /// The names that a configuration takes from the environment.
    fn variables(yaml: &str) -> BTreeSet<String> {
        let after = ["env:", "${env."].iter().flat_map(|mark| yaml.split(mark).skip(1));
        let name = |rest: &str| {
            rest.chars().take_while(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || *c == '_').collect::<String>()
        };
        after.map(name).filter(|name| !name.is_empty()).collect()
    }

    /// What `check` says against a file; `None` if it is fine. Variables without a default get a long value.
    async fn check(path: &Path, yaml: &str) -> Option<String> {
        let long = "a-value-that-is-long-enough-for-any-secret";
        // One with a default keeps it.
        let unset = variables(yaml).into_iter().filter(|name| !yaml.contains(&format!("{name}:-")));
        let environment: Vec<_> = unset.map(|name| (name.clone(), format!("{long}-{name}"))).collect();
        let exit = Process::start_with(PROGRAM, &["check", "-c", path.to_str().unwrap()], &environment).exit().await;
        (exit.code != Some(0)).then_some(exit.log)
    }

    /// The same for a file with the plugin of `examples/custom-plugin`, which only a gateway of its own knows.
    async fn check_with_own_plugin(path: PathBuf) -> Option<String> {
        let gateway = Gateway::new().with_builtin_plugins().with_plugin::<Maintenance>();
        let told = format!("{}: see standard error", path.display());
        let checking = move || gateway.main_from(["gateway", "check", "-c", path.to_str().unwrap()]);
        let code = tokio::task::spawn_blocking(checking).await.unwrap();
        // An exit code can be shown, but not compared.
        (format!("{code:?}") != format!("{:?}", ExitCode::SUCCESS)).then_some(told)
    }

    #[tokio::test]
    async fn the_default_configuration_and_every_example_loads() {
        let mut refused = Vec::new();
        let examples = files("examples", "gateway.yaml");
        assert!(examples.len() >= 3, "{examples:?}");
        for path in examples.into_iter().chain([PathBuf::from("gateway.yaml")]) {
            let whole = root().join(&path);
            // An example with a crate of its own has plugins of its own, and a gateway that knows them.
            if whole.with_file_name("Cargo.toml").exists() && path != Path::new("gateway.yaml") {
                refused.extend(check_with_own_plugin(whole).await);
            } else if let Some(why) = check(&whole, &read(&path)).await {
                refused.push(why);
            }
        }
        none("every configuration in the repository loads", refused);
    }

    /// The blocks of a Markdown file that are marked as YAML, with the line each begins at.
    fn yaml_blocks(markdown: &str) -> Vec<(usize, String)> {
        let mut blocks = Vec::new();
        let mut lines = markdown.lines().enumerate();
        while let Some((number, line)) = lines.next() {
            if line.trim_start() == "```yaml" {
                let block = lines.by_ref().map(|(_, line)| line).take_while(|line| line.trim_start() != "```");
                blocks.push((number + 2, block.collect::<Vec<_>>().join("\n") + "\n"));
            }
        }
        blocks
    }

    #[tokio::test]
    async fn every_yaml_block_of_the_documentation_loads() {
        let mut refused = Vec::new();
        let mut count = 0;
        for page in files("docs", ".md").into_iter().chain([PathBuf::from("README.md")]).chain(files("examples", ".md"))
        {
            for (line, block) in yaml_blocks(&read(&page)) {
                count += 1;
                let folder = tempfile::tempdir().unwrap();
                let file = folder.path().join("gateway.yaml");
                fs::write(&file, &block).unwrap();
                let place = format!("{}:{line}", page.display());
                if block.contains("maintenance:") {
                    refused.extend(check_with_own_plugin(file).await.map(|_| place));
                } else if let Some(why) = check(&file, &block).await {
                    refused.push(format!("{place}: {why}"));
                }
            }
        }
        none("a block marked yaml is a whole configuration that loads", refused);
        assert!(count > 0, "the documentation shows no configuration");
    }

    #[tokio::test]
    async fn the_generated_reference_and_schema_are_fresh() {
        for (arguments, path) in
            [(&["schema"][..], "gateway.schema.json"), (&["schema", "--markdown"], "docs/configuration.md")]
        {
            let made = Process::start(PROGRAM, arguments).exit().await.out;
            assert!(made.trim_end() == read(path).trim_end(), "{path} is not what the code says; type: make docs");
        }
    }

    #[test]
    fn every_plugin_of_the_repository_is_built_in() {
        let gateway = Gateway::new().with_builtin_plugins();
        let names: Vec<_> = metadata()
            .packages
            .iter()
            .map(folder)
            .filter_map(|folder| folder.strip_prefix("plugins/").map(str::to_owned))
            .collect();
        assert!(names.len() >= 10, "{names:?}");
        none(
            "a plugin of plugins/ is in the built-in list",
            names.into_iter().filter(|name| gateway.registry().get(name).is_none()),
        );
    }

    #[test]
    fn every_metric_is_told_of_in_the_operations_guide() {
        let places = ["proxy/src/observe/metrics.rs", "upstream/src/metrics.rs", "upstream/src/target_gauges.rs"];
        let code: String = places.iter().map(|place| read(Path::new("crates").join(place))).collect();
        let guide = read("docs/operations.md");
        let names: Vec<_> =
            code.split('"').filter(|text| text.starts_with("portreeve_") && !text.contains(' ')).collect();
        assert!(names.len() >= 9, "{names:?}");
        none(
            "a metric stands in docs/operations.md",
            names.into_iter().filter(|name| !guide.contains(*name)).map(str::to_owned),
        );
    }

    /// The names of tests that a text has between backquotes.
    fn named_tests(text: &str) -> impl Iterator<Item = &str> {
        let quoted = text.split('`').skip(1).step_by(2);
        quoted.filter(|name| {
            let is_name = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
            is_name && name.matches('_').count() > 2 && !name.starts_with("portreeve_")
        })
    }

    #[test]
    fn every_promise_of_the_documents_names_a_test_that_exists() {
        let code: String = sources().iter().map(read).collect();
        let of_document = |document: &'static str| {
            let text = read(document);
            let missing = named_tests(&text).filter(|name| !code.contains(&format!("fn {name}(")));
            missing.map(|name| format!("{document}: {name}")).collect::<Vec<_>>()
        };
        none(
            "a test that is named exists",
            ["docs/security.md", "docs/architecture.md"].into_iter().flat_map(of_document),
        );
        let text = read("docs/security.md");
        let promises = text.split("## Fuzzing").next().unwrap();
        let rows = promises.lines().filter(|line| line.starts_with("| ") && !line.ends_with("held by |"));
        let rows: Vec<_> = rows.filter(|row| !row.ends_with("held here by |")).collect();
        assert!(rows.len() > 60, "{}", rows.len());
        let whole_tables = ["wire::http1", "no_way_around::"];
        let bare = rows
            .into_iter()
            .filter(|row| named_tests(row).next().is_none() && !whole_tables.iter().any(|table| row.contains(table)));
        none("a promise names its test", bare.map(str::to_owned));
    }

    /// What a page has between backquotes, outside of blocks.
    fn quoted(markdown: &str) -> Vec<String> {
        let mut is_block = false;
        let prose = markdown.lines().filter(|line| {
            let is_fence = line.trim_start().starts_with("```");
            is_block ^= is_fence;
            !is_fence && !is_block
        });
        prose.flat_map(|line| line.split('`').skip(1).step_by(2)).map(str::to_owned).collect()
    }

    #[test]
    fn every_file_that_a_document_names_exists() {
        let places = ["crates", "plugins", "examples", "tests", "docs", "scripts", ".ci"];
        let all: BTreeSet<String> = places.iter().flat_map(|below| files(below, "")).map(slashed).collect();
        let is_there = |name: &str| {
            let name = name.trim_end_matches('/');
            root().join(name).exists()
                || all.iter().any(|path| path.ends_with(&format!("/{name}")) || path.contains(&format!("/{name}/")))
        };
        let is_of_ours = |name: &&String| {
            let below = |place: &&&str| name.starts_with(&format!("{place}/"));
            !name.contains([' ', '*', '{', '<', '$', '…'])
                && (Path::new(name).extension().is_some_and(|ending| ending == "rs")
                    || places.iter().any(|place| below(&place)))
        };
        let root_pages = ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"].map(PathBuf::from);
        // Decisions tell of the code of their day.
        let pages = files("docs", ".md").into_iter().filter(|page| !page.starts_with("docs/adr")).chain(root_pages);
        let breaches = pages.flat_map(|page| {
            let named = quoted(&read(&page));
            let missing = named.iter().filter(is_of_ours).filter(|name| !is_there(name));
            missing.map(|name| format!("{}: {name}", page.display())).collect::<Vec<_>>()
        });
        none("a file that a document names exists", breaches);
    }

    fn slashed(path: PathBuf) -> String {
        path.to_str().unwrap().to_owned()
    }

    #[test]
    fn every_symbol_that_the_pages_on_the_code_name_exists() {
        let code: String = sources().iter().map(read).collect();
        let words: BTreeSet<&str> =
            code.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty()).collect();
        let breaches = ["docs/architecture.md", "docs/life-of-a-request.md"].into_iter().flat_map(|page| {
            let named = quoted(&read(page));
            let is_symbol = |name: &String| {
                let is_path = name.contains("::");
                let is_type = name.chars().next().is_some_and(char::is_uppercase)
                    && name.chars().any(char::is_lowercase)
                    && name.chars().all(char::is_alphanumeric);
                !name.contains([' ', '-', '/', '.', '$']) && (is_path || is_type)
            };
            let missing = named.into_iter().filter(is_symbol).filter(|name| {
                let parts = name.trim_end_matches("()").split("::").map(|part| part.trim_end_matches(['!', '<', '>']));
                parts.into_iter().any(|part| !part.is_empty() && !words.contains(part))
            });
            missing.map(|name| format!("{page}: {name}")).collect::<Vec<_>>()
        });
        none("a symbol that a page on the code names exists", breaches);
    }

    #[test]
    fn all_that_the_dockerfile_copies_exists() {
        let text = read("Dockerfile");
        let copies =
            text.lines().filter_map(|line| line.strip_prefix("COPY ")).filter(|line| !line.starts_with("--from"));
        let sources = copies.flat_map(|line| {
            let mut words: Vec<_> = line.split_whitespace().collect();
            words.pop();
            words
        });
        none(
            "what the Dockerfile copies exists",
            sources.filter(|source| !root().join(source).exists()).map(str::to_owned),
        );
    }

    #[test]
    fn decisions_are_numbered_without_gaps() {
        let names: Vec<_> = files("docs/adr", ".md")
            .iter()
            .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
            .collect();
        let wrong = names.iter().enumerate().filter(|(index, name)| !name.starts_with(&format!("{:04}-", index + 1)));
        none("docs/adr/NNNN-title.md counts from 0001 without gaps", wrong.map(|(_, name)| name.clone()));
        assert!(!names.is_empty());
    }
}
