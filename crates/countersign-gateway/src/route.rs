//! Routes, and which of them a path leads to.
//!
//! A route covers its own path and everything below it, segment by segment: `/admin` and `/admin/`
//! are the same and cover `/admin`, `/admin/` and `/admin/x`, not `/administrator`. The longest
//! that covers a path wins.

use std::sync::{Arc, OnceLock};

use http::HeaderValue;

use crate::caller::Caller;
use crate::forward::Forward;
use crate::metrics::RouteMeter;
use crate::names::{Pattern, any_match};
use crate::path::{NormalPath, loosely_read};
use crate::upstream::Upstream;

/// One `[[routes]]` of the configuration.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    /// The path that it was configured with.
    pub(crate) path: String,
    /// The credentials that a request needs, in the order of the configuration.
    pub(crate) require: Vec<Arc<str>>,
    /// Who of those that hold them may pass; everybody if absent.
    pub(crate) allow: Option<Vec<Rule>>,
    /// Where clients that cannot be asked for what is missing are sent; if absent, they are refused.
    pub(crate) without_extension: Option<HeaderValue>,
    /// Where requests go.
    pub(crate) upstream: Upstream,
    /// What the backend is told about the caller.
    pub(crate) forward: Forward,
    /// What counts its requests, once the configuration is in force.
    pub(crate) meter: OnceLock<Arc<RouteMeter>>,
}

/// One alternative of `allow`.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    /// The credential that is looked at; the route requires it.
    pub(crate) credential: Arc<str>,
    /// One of these must fit one of the certificate's names.
    pub(crate) subject_alt_names: Vec<Pattern>,
}

impl Rule {
    /// Whether one of `callers` is who this rule lets pass.
    pub(crate) fn admits(&self, callers: &[Arc<Caller>]) -> bool {
        callers.iter().any(|caller| {
            caller.credential() == &*self.credential
                && any_match(&self.subject_alt_names, caller.names())
        })
    }
}

/// All routes.
#[derive(Clone, Debug)]
pub(crate) struct RouteTable {
    /// The longest prefix first.
    entries: Vec<Entry>,
}

#[derive(Clone, Debug)]
struct Entry {
    /// The decoded path without a slash at its end.
    prefix: String,
    /// The same as the most forgiving backend reads it.
    loose: String,
    route: Arc<Route>,
}

/// Two routes for one path: neither could win.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Duplicate {
    /// Where the first of them stands in the list that was given.
    pub(crate) first: usize,
    /// Where the second one stands.
    pub(crate) second: usize,
}

/// A path that another backend could take for one of another route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ambiguous;

impl RouteTable {
    /// Orders the routes; each comes with its path, normalised.
    pub(crate) fn new(routes: Vec<(NormalPath, Route)>) -> Result<Self, Duplicate> {
        let mut entries: Vec<Entry> = Vec::with_capacity(routes.len());
        for (second, (path, route)) in routes.into_iter().enumerate() {
            let entry = Entry {
                prefix: without_last_slash(path.decoded()).to_owned(),
                loose: without_last_slash(&path.loosely_read()).to_owned(),
                route: Arc::new(route),
            };
            if let Some(first) = entries.iter().position(|other| other.loose == entry.loose) {
                return Err(Duplicate { first, second });
            }
            entries.push(entry);
        }
        entries.sort_by_key(|entry| std::cmp::Reverse(entry.prefix.len()));
        Ok(Self { entries })
    }

    /// The route of a path, `None` if there is none.
    pub(crate) fn find(&self, path: &NormalPath) -> Result<Option<&Arc<Route>>, Ambiguous> {
        let decoded = path.decoded();
        let strict = self.entries.iter().position(|entry| covers(&entry.prefix, decoded));
        let read = loosely_read(decoded);
        let loose = self.entries.iter().position(|entry| covers(&entry.loose, &read));
        if strict != loose {
            return Err(Ambiguous);
        }
        Ok(strict.and_then(|index| self.entries.get(index)).map(|entry| &entry.route))
    }

    /// The routes that cover a path, the one that it takes first, as strict backends read the path
    /// or, if `loosely`, as the most forgiving one does.
    pub(crate) fn covering(
        &self,
        path: &NormalPath,
        loosely: bool,
    ) -> impl Iterator<Item = &Arc<Route>> {
        let read =
            if loosely { path.loosely_read().into_owned() } else { path.decoded().to_owned() };
        self.entries
            .iter()
            .filter(move |entry| covers(if loosely { &entry.loose } else { &entry.prefix }, &read))
            .map(|entry| &entry.route)
    }

    /// All routes.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Route>> {
        self.entries.iter().map(|entry| &entry.route)
    }
}

fn without_last_slash(path: &str) -> &str {
    path.strip_suffix('/').unwrap_or(path)
}

fn covers(prefix: &str, path: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::upstream::Target;

    fn table(paths: &[&str]) -> Result<RouteTable, Duplicate> {
        RouteTable::new(
            paths
                .iter()
                .map(|path| {
                    let route = Route {
                        path: (*path).to_owned(),
                        require: Vec::new(),
                        allow: None,
                        without_extension: None,
                        upstream: Upstream::new(vec![
                            Target::parse("http://127.0.0.1:9000").unwrap(),
                        ])
                        .unwrap(),
                        forward: Forward::default(),
                        meter: OnceLock::new(),
                    };
                    (NormalPath::parse(path).unwrap(), route)
                })
                .collect(),
        )
    }

    fn find<'a>(table: &'a RouteTable, path: &str) -> Result<Option<&'a str>, Ambiguous> {
        let path = NormalPath::parse(path).unwrap();
        table.find(&path).map(|route| route.map(|route| route.path.as_str()))
    }

    #[test]
    fn the_longest_prefix_in_whole_segments_wins() {
        let table = table(&["/", "/admin/", "/admin/keys", "/Files/"]).unwrap();
        for (path, route) in [
            ("/", "/"),
            ("/x", "/"),
            ("/administrator", "/"),
            ("/admin", "/admin/"),
            ("/admin/", "/admin/"),
            ("/%61dmin/x", "/admin/"),
            ("/admin/keys", "/admin/keys"),
            ("/admin/keys/1", "/admin/keys"),
            ("/admin/keyset", "/admin/"),
            ("/Files/a", "/Files/"),
            // No other reading leads elsewhere.
            ("/admin/a//b;v=1/C", "/admin/"),
            ("/x//y", "/"),
        ] {
            assert_eq!(find(&table, path), Ok(Some(route)), "{path}");
        }
    }

    #[test]
    fn a_path_that_another_reading_leads_elsewhere_is_ambiguous() {
        let table = table(&["/", "/admin/", "/Files/"]).unwrap();
        for path in ["//admin/", "/admin;x/", "/;x/admin", "/ADMIN/", "/files/a"] {
            assert_eq!(find(&table, path), Err(Ambiguous), "{path}");
        }
        assert_eq!(find(&table, "/x;/admin"), Ok(Some("/")));
    }

    #[test]
    fn no_route_is_no_route() {
        let table = table(&["/a/"]).unwrap();
        assert_eq!(find(&table, "/b"), Ok(None));
        assert_eq!(find(&table, "//a"), Err(Ambiguous));
    }

    #[test]
    fn routes_that_some_backend_confuses_are_duplicates() {
        assert_eq!(table(&["/a", "/b", "/a/"]).unwrap_err(), Duplicate { first: 0, second: 2 });
        assert_eq!(table(&["/a", "/A"]).unwrap_err(), Duplicate { first: 0, second: 1 });
    }

    proptest! {
        /// Strict and most forgiving reading agree: then so does every backend in between.
        #[test]
        fn every_reading_leads_to_the_same_route(
            pieces in prop::collection::vec(prop::sample::select(vec!["/", "//", "a", "A", "b", ";x", ";"]), 0..8),
        ) {
            let table = table(&["/", "/a/", "/a/b/"]).unwrap();
            let raw = format!("/{}", pieces.concat());
            let path = NormalPath::parse(&raw).unwrap();
            if let Ok(found) = table.find(&path) {
                let found = found.map(|route| route.path.clone());
                let merged = |text: &str| {
                    let mut text = text.to_owned();
                    while text.contains("//") { text = text.replace("//", "/"); }
                    text
                };
                let stripped = |text: &str| {
                    text.split('/').map(|segment| segment.split(';').next().unwrap()).collect::<Vec<_>>().join("/")
                };
                let folded = |text: &str| text.to_lowercase();
                for reading in [
                    merged(&raw), stripped(&raw), folded(&raw), merged(&stripped(&raw)), stripped(&merged(&raw)),
                    folded(&merged(&raw)), folded(&stripped(&raw)), merged(&stripped(&folded(&raw))),
                ] {
                    let route = table.entries.iter().find(|entry| covers(&entry.prefix, &reading));
                    prop_assert_eq!(route.map(|entry| entry.route.path.clone()), found.clone(), "{}", reading);
                }
            }
        }
    }
}
