//! Learners of metrics, as the checks of all learners see them.

use super::*;
use crate::domain::ids::Key;
use crate::domain::journal;

/// A finite score, as learners give it.
fn finite(event: Event) -> f32 {
    if event.value.is_finite() { event.value } else { 0.0 }
}

impl Learner for RecentAuc {
    fn first() -> Self {
        RecentAuc::new(16)
    }
    fn learn(&mut self, event: Event) {
        self.record(finite(event).clamp(-20.0, 20.0), event.positive);
    }
    fn predictions(&self) -> Vec<f64> {
        [self.auc(), self.log_loss()].into_iter().flatten().map(f64::from).collect()
    }
}

impl Learner for ScoreHistogram {
    fn first() -> Self {
        ScoreHistogram::default()
    }
    fn learn(&mut self, event: Event) {
        self.record(event.value, event.positive);
    }
    fn predictions(&self) -> Vec<f64> {
        self.auc().into_iter().chain([self.count() as f64]).collect()
    }
}

impl Learner for Progress {
    fn first() -> Self {
        Progress::default()
    }
    fn learn(&mut self, event: Event) {
        self.record(finite(event), event.positive);
    }
    fn predictions(&self) -> Vec<f64> {
        [self.log_loss(), self.ece()].into_iter().flatten().collect()
    }
}

/// The parameters of a posterior.
fn parameters(of: Posterior) -> [f64; 2] {
    [of.sigma(), of.precision()]
}

impl Learner for Moments {
    fn first() -> Self {
        Moments::default()
    }
    fn learn(&mut self, event: Event) {
        // Refused values change nothing.
        let _ = self.add(f64::from(event.value));
    }
    fn predictions(&self) -> Vec<f64> {
        vec![self.count() as f64, self.mean(), self.variance()]
    }
}

impl Learner for NormalModel {
    fn first() -> Self {
        NormalModel::default()
    }
    fn learn(&mut self, event: Event) {
        // Refused values change nothing.
        let _ = self.set(None, f64::from(event.value));
    }
    fn predictions(&self) -> Vec<f64> {
        parameters(self.posterior(&Prior::default())).to_vec()
    }
}

/// The population's models, and the means of the people in them.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub(super) struct Measured {
    population: PopulationMetrics,
    people: Vec<PersonMetrics>,
}

impl Learner for Measured {
    fn first() -> Self {
        Measured { population: PopulationMetrics::default(), people: vec![PersonMetrics::default(); 9] }
    }
    fn learn(&mut self, event: Event) {
        let value = f64::from(event.value);
        let key = |text: &str| Key::new(text).unwrap();
        let (metric, kind) = (key("time_spent"), Some(key("post")));
        let measured = journal::Measured { metric, kind, millionths: millionths(value), replaces: false };
        let counted = self.population.measure(&mut self.people[event.user as usize], Measurement::of(&measured));
        assert!(counted.is_ok(), "{counted:?}");
    }
    fn predictions(&self) -> Vec<f64> {
        let declared = Declarations::default();
        let posterior = |named: Named<'_>| self.population.posterior(named.series, &named.declaration.prior);
        declared.all().flat_map(|named| parameters(posterior(named))).collect()
    }
}
