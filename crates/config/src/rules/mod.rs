//! What must hold between sections: names that exist, chains without cycles, routes that end once and say who may call.
//!
//! The rules read the position tree, not the types, so that they speak even while other parts of the file are wrong.

mod acme;
mod chains;
mod listeners;
mod names;
mod pools;
mod resilience;
mod routes;
mod single;
mod tcp;
mod tiers;
mod upstreams;
mod usage;
mod zones;

use crate::catalog::Catalog;
use crate::report::Report;
use crate::yaml::Node;

pub(crate) use names::check_references;
pub(crate) use tcp::check_upstreams;
pub(crate) use upstreams::check_twice;

pub(crate) fn check(root: &Node, catalog: &Catalog, report: &mut Report) {
    names::check_unique(root, report);
    names::check_step_names(root, report);
    chains::check_uses(root, report);
    routes::check(root, catalog, report);
    listeners::check(root, report);
    tcp::check(root, report);
    acme::check(root, report);
    single::check(root, report);
    tiers::check(root, report);
    upstreams::check(root, report);
    usage::check(root, report);
    zones::check(root, report);
}
