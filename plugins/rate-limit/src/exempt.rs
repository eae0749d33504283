//! Who is not counted at all.

use std::collections::HashSet;

use portreeve_plugin::prelude::*;
use portreeve_plugin::units::Networks;

use crate::config;

/// Who is not counted at all.
#[derive(Debug)]
pub(crate) struct Exempt {
    networks: Networks,
    consumers: HashSet<String>,
    groups: HashSet<String>,
    tiers: HashSet<String>,
    is_empty: bool,
}

impl Exempt {
    pub(crate) fn compile(setting: config::Exempt) -> Self {
        let config::Exempt { networks, consumers, groups, tiers } = setting;
        let is_empty = networks.is_empty() && consumers.is_empty() && groups.is_empty() && tiers.is_empty();
        Self {
            networks: networks.iter().collect(),
            consumers: consumers.into_iter().collect(),
            groups: groups.into_iter().collect(),
            tiers: tiers.into_iter().map(|tier| tier.0).collect(),
            is_empty,
        }
    }

    pub(crate) fn holds(&self, cx: &RequestCx<'_>) -> bool {
        if self.is_empty {
            return false;
        }
        if !self.networks.is_empty() && self.networks.contain(cx.client_ip()) {
            return true;
        }
        cx.consumer().is_some_and(|consumer| self.has_consumer(consumer))
    }

    pub(crate) fn has_consumer(&self, consumer: &Consumer) -> bool {
        self.consumers.contains(&*consumer.id)
            || consumer.tier.as_ref().is_some_and(|tier| self.has_tier(tier))
            || consumer.groups.iter().any(|group| self.groups.contains(group))
    }

    pub(crate) fn has_tier(&self, tier: &str) -> bool {
        self.tiers.contains(tier)
    }
}
