//! Metrics of users and of models: measured series, Normal-Gamma posteriors, prequential AUC and calibration.

pub mod normal;
pub mod measured;
pub mod progressive;
