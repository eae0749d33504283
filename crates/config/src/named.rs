//! Files that a configuration names and that are read when it is compiled: certificates, keys, revocation lists, error pages,
//! databases of places.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use crate::path::ConfigPath;
use crate::sections::{Config, ListenerTls};
use crate::sources::Sources;

/// Every such file, whether it is there or not, with relative paths put behind the folder of the file that names them. Their
/// contents are a part of the configuration: a watcher watches them like what `include` names.
pub(crate) fn named_files(config: &Config, sources: &Sources) -> Vec<PathBuf> {
    let listeners = config.listeners.iter().enumerate().flat_map(|(index, listener)| {
        let path = ConfigPath::from("listeners").index(index);
        let files = listener.tls.iter().flat_map(ListenerTls::files);
        files.map(move |file| (path.clone(), file))
    });
    let upstreams = config.upstreams.into_iter().flat_map(|(name, upstream)| {
        let path = ConfigPath::from("upstreams").key(name.as_str());
        let files = upstream.tls.iter().flat_map(|tls| [&tls.ca, &tls.cert, &tls.key]).flatten();
        let places = upstream.failover.near.iter().filter_map(|near| near.database.as_ref());
        files.chain(places).map(move |file| (path.clone(), Cow::Borrowed(file.as_path())))
    });
    let pages = config.errors.iter().filter_map(|(status, page)| {
        let path = ConfigPath::from("errors").key(&String::from(*status));
        Some((path, Cow::Borrowed(page.file.as_deref()?)))
    });
    let authority = config.acme.iter().filter_map(|acme| acme.ca.as_deref());
    let authority = authority.map(|file| (ConfigPath::from("acme"), Cow::Borrowed(file)));
    let all = listeners.chain(upstreams).chain(pages).chain(authority);
    all.map(|(path, file): (ConfigPath, Cow<'_, Path>)| sources.folder(&path).join(file)).collect()
}
