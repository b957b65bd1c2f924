//! Describes a person's learned model to clients.
//!
//! Invariant: the description changes nothing, and each figure is taken at one instant from one state and one world.

use super::actor::UserActor;
use crate::actors::answers::PersonModel;
use crate::domain::feeds::{Contribution, Expert};
use crate::engine::features::{Segment, range};
use crate::engine::metrics::progressive::LABELS_MIN;
use crate::engine::settings::{self, LearnSettings};
use crate::protocol::server::{Decay, DecayCurve, Model};

impl UserActor {
    /// The model as a message. Figures of the `model` and `topics` rankings need enough labels of both kinds.
    pub(super) fn wire_model(&self) -> Model {
        let model = self.person_model();
        let knows = model.positives.min(model.negatives) as usize >= LABELS_MIN;
        Model {
            topics: model.topics,
            auc: model.auc,
            log_loss: model.log_loss,
            auc_model: model.auc_model.filter(|_| knows),
            auc_topics: model.auc_topics.filter(|_| knows),
            log_loss_model: model.log_loss_model.filter(|_| knows),
            positives: model.positives,
            negatives: model.negatives,
            labelled: model.labelled,
            events: model.events,
            drifts: model.drifts,
        }
    }

    pub(super) fn person_model(&self) -> PersonModel {
        let (world, now) = (self.context.world.load(), self.context.clock.now());
        let settings = world.settings();
        let scores = self.state.scores();
        let (positives, negatives) = scores.model.labels();
        let weights = world.blend().served(Segment::New, self.state.offset());
        PersonModel {
            topics: self
                .state
                .topics()
                .all(now, settings.topic_decay())
                .filter_map(|(topic, s)| Some((world.topic(topic)?.clone(), s as f32)))
                .collect(),
            events: self.state.seq().0,
            labelled: scores.progress.count(),
            auc: scores.online.auc(),
            auc_topics: scores.topics.auc(),
            auc_model: scores.model.auc(),
            log_loss_model: scores.model.log_loss(),
            positives: positives as u32,
            negatives: negatives as u32,
            decay: decay_of(settings),
            log_loss: scores.progress.log_loss().map(|loss| loss as f32),
            calibration_error: scores.progress.ece().map(|error| error as f32),
            weight_norm: self.state.online().weight_norm(),
            uncertainty: self.state.online().uncertainty(settings.online()),
            drifts: self.state.drifts(),
            experts: Expert::ALL
                .into_iter()
                .map(|expert| {
                    let (begin, end) = range(expert);
                    let amount = weights[begin..end].iter().map(|weight| weight * weight).sum::<f32>().sqrt();
                    Contribution { expert, amount }
                })
                .collect(),
            metrics: self.state.metrics().clone(),
            follows: self.state.follows().to_vec(),
            seq: self.state.seq(),
        }
    }
}

/// The decay of topic weights under these settings.
pub(super) fn decay_of(settings: &LearnSettings) -> Decay {
    let curve = match settings.decay {
        settings::Decay::Exact => DecayCurve::Exact,
        settings::Decay::Euler => DecayCurve::Euler,
    };
    Decay { curve, rate: settings.decay_rate, horizon_ms: settings.decay_horizon_ms }
}
