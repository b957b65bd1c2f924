//! Weights that the blend and the opinion model start with.

use serde::{Deserialize, Serialize};

use crate::domain::feeds::{Expert, for_each_expert};
use crate::engine::experts::{self, expertise::Expertise};
use crate::engine::features::Features;

macro_rules! blend_by_expert {
    ($( $(#[cfg($only:meta)])? $Expert:ident $name:ident $doc:literal; )*) => {
        /// Weights that the blend starts with: for each expert, the log-odds per unit of it before choices teach the
        /// blend more. Experts over other people's choices start at 0, and choices teach the blend their weights.
        #[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct Blend {
            $( #[doc = $doc] $(#[cfg($only)])? pub $name: f32, )*
        }

        impl Default for Blend {
            fn default() -> Self {
                Blend { $( $(#[cfg($only)])? $name: experts::$name::$Expert::FIRST_AMOUNT, )* }
            }
        }

        impl Blend {
            /// By expert, in the order of `Expert::ALL`.
            #[must_use]
            pub fn as_array(&self) -> [f32; Expert::ALL.len()] {
                [$( $(#[cfg($only)])? self.$name, )*]
            }
        }
    };
}
for_each_expert!(blend_by_expert);

impl Blend {
    /// The weights of the features that the blend starts with.
    #[must_use]
    pub fn features(&self) -> Features {
        experts::first_weights(&self.as_array())
    }

    /// Feature weights of each expert when it ranks alone.
    #[must_use]
    pub fn alone() -> &'static Features {
        &experts::ALONE
    }
}
