//! Embeddings and centres that journal entries name, and embeddings relative to a centre.

use crate::domain::ids::ItemId;
use crate::domain::journal::CentreRef;
use crate::engine::catalogue::centres::Centre;
use crate::engine::numeric::kernels::dot;

/// Embeddings and centres as a journal entry names them; learning reads nothing else of the world.
pub trait Vectors {
    /// The embedding `(dim,)` of an item in a revision; `None` if it is not available.
    fn embedding(&self, item: ItemId, revision: u32) -> Option<&[f32]>;
    /// The centre of a topic in an epoch, with its axes; `None` in epoch 0.
    fn centre(&self, centre: CentreRef) -> Option<&Centre>;
}

/// `(x - m) / ||x - m||`; without `m`, `x / ||x||`; zeros where the length vanishes. All are `(dim,)`.
#[must_use]
pub fn centred(x: &[f32], m: Option<&[f32]>) -> Vec<f32> {
    let mut out: Vec<f32> = match m {
        Some(m) => x.iter().zip(m).map(|(x, m)| x - m).collect(),
        None => x.to_vec(),
    };
    let inverse = inverse_length(dot(&out, &out), dot(x, x));
    for number in &mut out {
        *number *= inverse;
    }
    out
}

/// `1 / sqrt(squared)`, or 0 where that is only rounding error relative to `of`, the squared length before centring.
#[must_use]
pub(in crate::engine) fn inverse_length(squared: f32, of: f32) -> f32 {
    if squared <= of * 1e-10 { 0.0 } else { 1.0 / squared.sqrt() }
}
