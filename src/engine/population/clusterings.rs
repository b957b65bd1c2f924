//! All clusterings of users by name: their settings, revisions, names of clusters, and the order of their fits.
//!
//! Invariant: `default` always exists. At most one fit is in progress over all clusterings, and the one that waits longest
//! comes first. Results of other fits are dropped. A cluster's name follows its number through refits.
//! Deliberately absent: the effective settings ([`LearnSettings`] holds them), the times of schedules, the store.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use crate::domain::clusterings::{
    CLUSTERINGS_MAX, ClusterName, ClusteringChange, DEFAULT, NAMES_MAX, REVISIONS_KEPT, Revision,
};
use crate::domain::ids::{Key, TopicId, UserId};
use crate::domain::time::Millis;
use crate::engine::population::Population;
use crate::engine::population::eligible::Eligible;
use crate::engine::population::refit::{Clustering, RefitPolicy, RefitTask, Refused, RestoredFit, readable, refusal};
use crate::engine::settings::{ClusterSettings, LearnSettings};

/// A change of the clusterings that a client requests. The caller has checked settings and names.
#[derive(Clone, Debug, PartialEq)]
pub enum ClusteringEdit {
    /// Creates a clustering, or replaces its settings.
    Set(String, Box<ClusterSettings>),
    /// Deletes a clustering. One of the configuration takes the settings of the configuration again instead.
    Remove(String),
    /// Names a cluster.
    Name(ClusterName),
    /// Removes the name of a cluster.
    Unname(String, u32),
}

/// The published part of a clustering.
#[derive(Clone, Debug, Default)]
pub struct Published {
    /// Newest fit; `None` before the first one.
    pub fit: Option<Arc<Clustering>>,
    /// Names of clusters by number.
    pub names: Arc<BTreeMap<u32, String>>,
}

/// The fit in progress.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnderWay {
    /// Name of the clustering.
    pub clustering: String,
    /// Number of the fit.
    pub epoch: u64,
    /// Start of the fit.
    pub began_at: Millis,
}

/// State of a clustering for reports.
#[derive(Clone, Debug)]
pub struct ClusteringStatus {
    /// Name of the clustering.
    pub name: String,
    /// Settings in effect: the stored ones, or else those of the configuration.
    pub settings: ClusterSettings,
    /// Revision of the stored settings; 0 for those of the configuration.
    pub revision: u32,
    /// Time of that revision.
    pub changed_at: Option<Millis>,
    /// Points since the last fit began.
    pub counter: u64,
    /// Whether a client or the schedule requested a fit that has not begun.
    pub requested: bool,
    /// The fit in progress, if it is one of this clustering.
    pub under_way: Option<UnderWay>,
    /// Why no fit is possible now.
    pub refused: Option<Refused>,
    /// Newest fit, and names of clusters.
    pub published: Published,
}

#[derive(Clone, Debug, Default)]
struct Named {
    policy: RefitPolicy,
    eligible: Eligible,
    names: Arc<BTreeMap<u32, String>>,
    /// Oldest first, at most [`REVISIONS_KEPT`].
    revisions: VecDeque<Revision>,
}

impl Named {
    fn keep(&mut self, revision: Revision) {
        self.revisions.push_back(revision);
        if self.revisions.len() > REVISIONS_KEPT as usize {
            self.revisions.pop_front();
        }
    }
}

/// The clusterings of a server, with the fit in progress over all of them.
#[derive(Clone, Debug)]
pub(crate) struct Clusterings {
    /// Settings of the configuration, by name.
    configured: BTreeMap<String, ClusterSettings>,
    named: BTreeMap<String, Named>,
    under_way: Option<UnderWay>,
    /// Whether the clustering of the fit in progress was deleted since, so that its result is dropped.
    is_abandoned: bool,
}

impl Clusterings {
    /// The clusterings of a configuration.
    pub(crate) fn new(settings: &LearnSettings) -> Clusterings {
        let configured: BTreeMap<String, ClusterSettings> =
            settings.all_clusterings().map(|(name, settings)| (name.to_owned(), settings.clone())).collect();
        let named = configured.keys().map(|name| (name.clone(), Named::default())).collect();
        Clusterings { configured, named, under_way: None, is_abandoned: false }
    }

    /// Takes over a stored revision, and applies it to the settings. Revisions come in order.
    ///
    /// # Errors
    /// The settings cannot be read: those before them stay.
    pub(crate) fn restore(
        &mut self,
        revision: Revision,
        settings: &mut LearnSettings,
    ) -> Result<(), serde_json::Error> {
        let read = ClusterSettings::of_json(&revision.settings);
        let name = revision.clustering.clone();
        let named = self.named.entry(name.clone()).or_default();
        named.keep(revision);
        // The fit that these settings asked for may not have ended; a restored fit of these columns withdraws this.
        named.policy.ask();
        settings.set_clustering(&name, read?);
        Ok(())
    }

    /// Takes over the stored name of a cluster; names of unknown clusterings are ignored.
    pub(crate) fn restore_name(&mut self, name: ClusterName) {
        if let Some(named) = self.named.get_mut(&name.clustering) {
            Arc::make_mut(&mut named.names).insert(name.cluster, name.name);
        }
    }

    /// Applies an edit to the clusterings and to the settings. Returns the change to store; `None` where the edit has no
    /// effect, or exceeds a bound.
    pub(crate) fn edit(
        &mut self,
        edit: ClusteringEdit,
        now: Millis,
        settings: &mut LearnSettings,
    ) -> Option<ClusteringChange> {
        match edit {
            ClusteringEdit::Set(name, given) => {
                if !self.named.contains_key(&name) && self.named.len() >= CLUSTERINGS_MAX {
                    return None;
                }
                let refits = settings.clustering(&name).is_none_or(|before| !before.fits_as(&given));
                let text = given.to_json().to_string();
                let newest = self.named.get(&name).and_then(|named| named.revisions.back());
                // A repeated request adds no revision.
                if newest.is_some_and(|newest| newest.settings == text) {
                    return None;
                }
                settings.set_clustering(&name, *given);
                let named = self.named.entry(name.clone()).or_default();
                if refits {
                    named.policy.ask();
                }
                named.policy.reported = false;
                let number = named.revisions.back().map_or(0, |revision| revision.revision) + 1;
                let revision = Revision { clustering: name, revision: number, changed_at: now, settings: text };
                named.keep(revision.clone());
                Some(ClusteringChange::Revise(revision))
            }
            ClusteringEdit::Remove(name) => {
                let before = settings.clustering(&name)?.clone();
                if let Some(configured) = self.configured.get(&name) {
                    settings.set_clustering(&name, configured.clone());
                    let named = self.named.entry(name.clone()).or_default();
                    named.revisions.clear();
                    if !before.fits_as(configured) {
                        named.policy.ask();
                    }
                    return Some(ClusteringChange::Reset(name));
                }
                settings.clusterings.remove(&name);
                self.named.remove(&name);
                self.is_abandoned |= self.under_way.as_ref().is_some_and(|under_way| under_way.clustering == name);
                Some(ClusteringChange::Delete(name))
            }
            ClusteringEdit::Name(ClusterName { clustering, cluster, name }) => {
                let named = self.named.get_mut(&clustering)?;
                let others = || named.names.iter().filter(|(id, _)| **id != cluster);
                if others().any(|(_, other)| *other == name) || others().count() >= NAMES_MAX {
                    return None;
                }
                Arc::make_mut(&mut named.names).insert(cluster, name.clone());
                Some(ClusteringChange::Name(ClusterName { clustering, cluster, name }))
            }
            ClusteringEdit::Unname(clustering, cluster) => {
                Arc::make_mut(&mut self.named.get_mut(&clustering)?.names).remove(&cluster)?;
                Some(ClusteringChange::Unname(clustering, cluster))
            }
        }
    }

    /// Newest fits and names, by name of the clustering.
    pub(crate) fn published(&self) -> BTreeMap<String, Published> {
        let each = |(name, named): (&String, &Named)| {
            (name.clone(), Published { fit: named.policy.current().cloned(), names: named.names.clone() })
        };
        self.named.iter().map(each).collect()
    }

    /// Raises the number after which new fits of a clustering are numbered.
    pub(crate) fn begin_after(&mut self, name: &str, epoch: u64) {
        if let Some(named) = self.named.get_mut(name) {
            named.policy.begin_after(epoch);
        }
    }

    /// Restores the clusters of an earlier run.
    pub(crate) fn restore_fit(
        &mut self,
        name: &str,
        kept: RestoredFit,
        population: &Population,
        topic: impl Fn(&Key) -> Option<TopicId>,
        now: Millis,
        settings: &LearnSettings,
    ) {
        if let Some(named) = self.named.get_mut(name) {
            let columns = settings.clustering(name).map(|options| &options.columns);
            if columns == Some(&kept.summary.columns) {
                named.policy.withdraw();
            }
            named.policy.restore_fit(kept, population, topic, now, settings);
        }
    }

    /// Requests a fit regardless of the counted points.
    pub(crate) fn ask(&mut self, name: &str) {
        if let Some(named) = self.named.get_mut(name) {
            named.policy.ask();
        }
    }

    /// Requests a scheduled fit, where enough points were counted.
    pub(crate) fn ask_scheduled(&mut self, name: &str, population: &Population, settings: &LearnSettings) {
        if let (Some(named), Some(options)) = (self.named.get_mut(name), settings.clustering(name)) {
            named.policy.ask_scheduled(population, options);
        }
    }

    /// The fit to compute now, if one is due and none is in progress. Adds newly refused clusterings to `refused`.
    pub(crate) fn due(
        &mut self,
        population: &Population,
        topic: impl Fn(&Key) -> Option<TopicId>,
        now: Millis,
        settings: &Arc<LearnSettings>,
        refused: &mut Vec<(String, Refused)>,
    ) -> Option<RefitTask> {
        let mut waiting = Vec::new();
        for (name, Named { policy, .. }) in &mut self.named {
            let Some(options) = settings.clustering(name) else { continue };
            if !policy.is_due(now, population, options) {
                continue;
            }
            match readable(options, population, settings) {
                Ok(_) => {
                    policy.reported = false;
                    waiting.push((*policy.due_since.get_or_insert(now), name.clone()));
                }
                // The request stays: the fit begins once the column is declared.
                Err(why @ Refused::Undeclared(_)) if !policy.reported => {
                    policy.reported = true;
                    refused.push((name.clone(), why));
                }
                Err(_) => {}
            }
        }
        if self.under_way.is_some() {
            return None;
        }
        waiting.sort();
        waiting.into_iter().find_map(|(_, name)| {
            let task = self.named.get_mut(&name)?.policy.begin(&name, population, &topic, now, settings).ok()?;
            self.under_way = Some(UnderWay { clustering: name, epoch: task.epoch, began_at: now });
            Some(task)
        })
    }

    /// Takes a finished fit and returns the clusters to publish; `None` if the fit failed or is obsolete.
    pub(crate) fn done(
        &mut self,
        name: &str,
        epoch: u64,
        fit: Option<Clustering>,
        erased: &BTreeSet<UserId>,
        now: Millis,
    ) -> Option<Arc<Clustering>> {
        self.under_way.take_if(|under_way| under_way.clustering == name && under_way.epoch == epoch)?;
        if std::mem::take(&mut self.is_abandoned) {
            return None;
        }
        self.named.get_mut(name)?.policy.done(fit, erased, now)
    }

    /// Removes an erased user from all current clusters.
    pub(crate) fn forget(&mut self, user: UserId) {
        self.named.values_mut().for_each(|named| named.policy.forget(user));
    }

    /// Requests refits after the population was recomputed, where there are clusters.
    pub(crate) fn counted_afresh(&mut self) {
        for (name, named) in &mut self.named {
            let is_under_way = self.under_way.as_ref().is_some_and(|under_way| under_way.clustering == *name);
            if named.policy.current().is_some() || is_under_way {
                named.policy.ask();
            }
        }
    }

    /// State of all clusterings, `default` first, then by name; or of one of them alone.
    pub(crate) fn status(
        &mut self,
        only: Option<&str>,
        population: &Population,
        topic: impl Fn(&Key) -> Option<TopicId>,
        now: Millis,
        settings: &LearnSettings,
    ) -> Vec<ClusteringStatus> {
        let Clusterings { named, under_way, is_abandoned, .. } = self;
        let status = |(name, own): (&str, &ClusterSettings)| {
            let named = named.get_mut(name)?;
            let newest = named.revisions.back();
            Some(ClusteringStatus {
                name: name.to_owned(),
                settings: own.clone(),
                revision: newest.map_or(0, |revision| revision.revision),
                changed_at: newest.map(|revision| revision.changed_at),
                counter: named.policy.points(population, own),
                requested: named.policy.is_asked(),
                under_way: under_way.clone().filter(|one| one.clustering == name && !*is_abandoned),
                refused: refusal(own, population, &topic, now, settings, &mut named.eligible),
                published: Published { fit: named.policy.current().cloned(), names: named.names.clone() },
            })
        };
        let wanted = settings.all_clusterings().filter(|(name, _)| only.is_none_or(|only| only == *name));
        wanted.filter_map(status).collect()
    }

    /// Stored revisions of a clustering, newest first.
    pub(crate) fn revisions(&self, name: &str) -> Vec<Revision> {
        self.named.get(name).map_or_else(Vec::new, |named| named.revisions.iter().rev().cloned().collect())
    }

    /// The newest fit of `default`.
    pub(crate) fn default_fit(&self) -> Option<&Arc<Clustering>> {
        self.named.get(DEFAULT)?.policy.current()
    }
}
