//! Model checkpoints: one safetensors file with all tensors, and schema, sizes and summary as JSON in its metadata.
//!
//! Invariant: reading checks everything, so a [`Checkpoint`] is always usable. Shapes follow from its own schema, all
//! numbers are finite, no tensor is missing or left over. Limits on sizes are checked before memory is allocated.
//! Equal checkpoints give equal bytes.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};

use crate::domain::ids::ModelVersion;
use crate::engine::two_tower::{TOWER_HISTORY_MAX, TwoTower};
use crate::tower::forward::Forward;
use crate::tower::layout::{HEADS_MAX, HIDDEN_MAX, Shapes, Sizes};
use crate::tower::schema::{Components, Number, Schema};
use crate::tower::text::TEXT_STATISTICS;

/// Key in the file's metadata that holds the JSON.
pub const METADATA: &str = "eddyline";

/// Version of the file layout.
pub const FORMAT: u32 = 1;

/// Size limit of a file, in bytes.
pub const BYTES_MAX: usize = 64 << 20;

const COMPONENTS_MEAN: &str = "item.embedding.mean";
const COMPONENTS: &str = "item.embedding.components";
const WEIGHT_MAX: f32 = 1e6;
const FIELDS_MAX: usize = 1_000;
const VALUES_MAX: usize = 200_000;
const NAME_BYTES_MAX: usize = 1_024;
const EMBEDDING_MAX: usize = 8_192;
const REDUCED_MAX: usize = 512;
const TABLE_DIM_MAX: usize = 64;

/// A trained model: schema, sizes, summary, principal components and weights.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    schema: Schema,
    sizes: Sizes,
    summary: Summary,
    components: Components,
    /// All tensors, in the order of [`Shapes::all`].
    weights: Vec<f32>,
}

/// Provenance and quality of a model. Every field may be absent in a file from another program.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Summary {
    /// Name and version of the program that wrote the file.
    pub program: String,
    /// Time of training, in milliseconds since the epoch.
    pub created_ms: i64,
    /// Time of the last training example, in milliseconds since the epoch.
    pub learned_until_ms: i64,
    /// Number of training examples.
    pub learned_rows: u64,
    /// Number of users in the tables.
    pub people: u64,
    /// Number of items in the tables.
    pub items: u64,
    /// Number of epochs after which the kept weights were taken.
    pub epochs: f64,
    /// Loss that training minimised: `cross_entropy` or `softmax`.
    pub loss: String,
    /// Seed of initial weights, order of examples and negatives.
    pub seed: u64,
    /// Quality on the validation slice, with the weights that were kept.
    pub validation: Option<Quality>,
    /// Quality on the test slice.
    pub test: Option<Quality>,
    /// Slope and intercept, already folded into the output, that calibrate probabilities on the validation slice.
    pub calibration: Option<[f32; 2]>,
}

/// Prediction quality of a model on a slice of views.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Quality {
    /// Number of views in the slice.
    pub rows: u64,
    /// Area under the ROC curve; `null` where only one outcome occurs.
    pub roc_auc: Option<f64>,
    /// Average precision; `null` where only one outcome occurs.
    pub average_precision: Option<f64>,
    /// Mean log loss in nats; `null` without a view.
    pub log_loss: Option<f64>,
    /// Expected calibration error over ten bins of equal width; `null` without a view.
    pub calibration_error: Option<f64>,
}

/// The JSON in the metadata: everything but the tensors.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    format: u32,
    schema: Schema,
    sizes: Sizes,
    #[serde(default)]
    summary: Summary,
}

#[derive(Serialize)]
struct DescriptionRef<'a> {
    format: u32,
    schema: &'a Schema,
    sizes: &'a Sizes,
    summary: &'a Summary,
}

/// Reason why bytes are no usable model.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The file exceeds [`BYTES_MAX`].
    #[error("the model has {bytes} bytes, the limit is {BYTES_MAX}: train a smaller one")]
    TooLarge {
        /// Size in bytes.
        bytes: usize,
    },
    /// The bytes are no safetensors file.
    #[error("the model is not a safetensors file: {0}")]
    Container(String),
    /// The file is safetensors, but its metadata lacks [`METADATA`].
    #[error("the file's metadata has no `{METADATA}`: export it with the layout of docs/two-tower.md")]
    NoDescription,
    /// The JSON in the metadata does not parse.
    #[error("the file's metadata `{METADATA}` does not parse at `{path}`: {why}")]
    Description {
        /// Path of the field within the JSON.
        path: String,
        /// Message of the JSON parser.
        why: String,
    },
    /// The file has another layout version than [`FORMAT`].
    #[error("the model has layout {found}, this program reads layout {FORMAT}: export or train the model again")]
    Format {
        /// Layout version of the file.
        found: u32,
    },
    /// A field has a value outside its range.
    #[error("`{field}` of the model {why}")]
    Field {
        /// Path of the field within the JSON.
        field: String,
        /// The rule that the value breaks.
        why: String,
    },
    /// A tensor is missing, has another shape or type, or has numbers that are not finite.
    #[error("tensor `{name}` of the model {why}")]
    Tensor {
        /// Name of the tensor in the file.
        name: String,
        /// The rule that the tensor breaks.
        why: String,
    },
}

impl Checkpoint {
    /// Builds a checkpoint from a trained model; `weights` holds all tensors in the order of [`Shapes::all`].
    #[must_use]
    pub fn new(
        schema: Schema,
        sizes: Sizes,
        summary: Summary,
        components: Components,
        weights: Vec<f32>,
    ) -> Checkpoint {
        debug_assert_eq!(weights.len(), Shapes::new(&schema, &sizes).total());
        Checkpoint { schema, sizes, summary, components, weights }
    }

    /// Reads and checks the bytes of a file.
    ///
    /// # Errors
    /// [`CheckpointError`] names the field or tensor that is wrong.
    pub fn from_bytes(bytes: &[u8]) -> Result<Checkpoint, CheckpointError> {
        if bytes.len() > BYTES_MAX {
            return Err(CheckpointError::TooLarge { bytes: bytes.len() });
        }
        let container = |error: safetensors::SafeTensorError| CheckpointError::Container(error.to_string());
        let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(container)?;
        let text = metadata.metadata().as_ref().and_then(|metadata| metadata.get(METADATA));
        let description = describe(text.ok_or(CheckpointError::NoDescription)?)?;
        check_schema(&description.schema, &description.sizes)?;
        let file = SafeTensors::deserialize(bytes).map_err(container)?;
        let mut left: BTreeSet<&str> = file.iter().map(|(name, _)| name).collect();
        let mut take = |name: &str, dims: &[usize], out: &mut Vec<f32>| {
            left.remove(name);
            read(&file, name, dims, out)
        };
        let mut components = Components::default();
        if let Some(reduction) = description.schema.item.embedding {
            take(COMPONENTS_MEAN, &[reduction.from], &mut components.mean)?;
            take(COMPONENTS, &[reduction.to, reduction.from], &mut components.rows)?;
        }
        let shapes = Shapes::new(&description.schema, &description.sizes);
        let mut weights = Vec::new();
        for shape in &shapes.all {
            take(&shape.name, &shape.dims(), &mut weights)?;
        }
        if let Some(name) = left.first() {
            return Err(tensor(name, "is not part of this layout"));
        }
        let Description { schema, sizes, summary, .. } = description;
        Ok(Checkpoint { schema, sizes, summary, components, weights })
    }

    /// Serialises the model as a safetensors file.
    ///
    /// # Errors
    /// [`CheckpointError::TooLarge`] when the file would exceed [`BYTES_MAX`].
    pub fn to_bytes(&self) -> Result<Vec<u8>, CheckpointError> {
        let shapes = Shapes::new(&self.schema, &self.sizes);
        let bytes = |numbers: &[f32]| numbers.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>();
        let mut data: Vec<(String, Vec<usize>, Vec<u8>)> = Vec::new();
        if let Some(reduction) = self.schema.item.embedding {
            data.push((COMPONENTS_MEAN.to_owned(), vec![reduction.from], bytes(&self.components.mean)));
            data.push((COMPONENTS.to_owned(), vec![reduction.to, reduction.from], bytes(&self.components.rows)));
        }
        for (index, shape) in shapes.all.iter().enumerate() {
            data.push((shape.name.clone(), shape.dims(), bytes(&self.weights[shapes.place(index)])));
        }
        let views: Result<Vec<_>, _> = data
            .iter()
            .map(|(name, dims, bytes)| Ok((name.as_str(), TensorView::new(Dtype::F32, dims.clone(), bytes)?)))
            .collect();
        let description =
            DescriptionRef { format: FORMAT, schema: &self.schema, sizes: &self.sizes, summary: &self.summary };
        let container = |error: safetensors::SafeTensorError| CheckpointError::Container(error.to_string());
        let text =
            serde_json::to_string(&description).map_err(|error| CheckpointError::Container(error.to_string()))?;
        let metadata = HashMap::from([(METADATA.to_owned(), text)]);
        let bytes = safetensors::serialize(views.map_err(container)?, Some(metadata)).map_err(container)?;
        if bytes.len() > BYTES_MAX {
            return Err(CheckpointError::TooLarge { bytes: bytes.len() });
        }
        Ok(bytes)
    }

    /// Dimension of the item embeddings that the model reads; 0 for a model without embeddings.
    #[must_use]
    pub fn dim(&self) -> usize {
        self.schema.item.embedding.map_or(0, |reduction| reduction.from)
    }

    /// Provenance and quality of the model.
    #[must_use]
    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    /// The features that the model reads of users and items.
    #[must_use]
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// Sizes of the network: history, heads, hidden units.
    #[must_use]
    pub fn sizes(&self) -> &Sizes {
        &self.sizes
    }

    /// All tensors, in the order of [`Shapes::all`].
    #[must_use]
    pub fn weights(&self) -> &[f32] {
        &self.weights
    }

    /// Turns the checkpoint into a model that serves, under its version in the store.
    #[must_use]
    pub fn into_model(self, version: ModelVersion) -> Arc<dyn TwoTower> {
        Arc::new(Forward::new(version, self.schema, self.sizes, self.components, &self.weights))
    }
}

/// Reads the JSON; its version first, because the version decides how the rest parses.
fn describe(text: &str) -> Result<Description, CheckpointError> {
    #[derive(Deserialize)]
    struct Version {
        format: u32,
    }
    let wrong = |path: String, error: serde_json::Error| CheckpointError::Description { path, why: error.to_string() };
    let version: Version = serde_json::from_str(text).map_err(|error| wrong("format".to_owned(), error))?;
    if version.format != FORMAT {
        return Err(CheckpointError::Format { found: version.format });
    }
    let mut reader = serde_json::Deserializer::from_str(text);
    let description: Description = serde_path_to_error::deserialize(&mut reader)
        .map_err(|error| wrong(error.path().to_string(), error.into_inner()))?;
    debug_assert_eq!(description.format, FORMAT);
    Ok(description)
}

fn field(field: impl Into<String>, why: impl Into<String>) -> CheckpointError {
    CheckpointError::Field { field: field.into(), why: why.into() }
}

fn tensor(name: &str, why: impl Into<String>) -> CheckpointError {
    CheckpointError::Tensor { name: name.to_owned(), why: why.into() }
}

fn within(name: &str, value: usize, from: usize, to: usize) -> Result<(), CheckpointError> {
    if (from..=to).contains(&value) { Ok(()) } else { Err(field(name, format!("must be {from} to {to}, is {value}"))) }
}

fn check_schema(schema: &Schema, sizes: &Sizes) -> Result<(), CheckpointError> {
    within("sizes.history", sizes.history, 0, TOWER_HISTORY_MAX)?;
    within("sizes.hidden", sizes.hidden, 1, HIDDEN_MAX)?;
    within("sizes.heads", sizes.heads, 1, HEADS_MAX)?;
    if !sizes.heads.is_power_of_two() {
        return Err(field("sizes.heads", format!("must be 1, 2, 4 or 8, is {}", sizes.heads)));
    }
    let person = &schema.person;
    within("schema.person.categories", person.categories.len(), 0, FIELDS_MAX)?;
    let mut names = BTreeSet::new();
    for category in &person.categories {
        let path = format!("schema.person.categories.{}", category.name);
        check_name(&path, &category.name, &mut names)?;
        within(&format!("{path}.dim"), category.dim, 1, TABLE_DIM_MAX)?;
        check_values(&format!("{path}.values"), &category.values)?;
    }
    check_numbers("schema.person.numbers", &person.numbers, &mut names)?;
    let item = &schema.item;
    within("schema.item.topic_dim", item.topic_dim, 1, TABLE_DIM_MAX)?;
    check_values("schema.item.topics", &item.topics)?;
    if let Some(reduction) = item.embedding {
        within("schema.item.embedding.from", reduction.from, 1, EMBEDDING_MAX)?;
        within("schema.item.embedding.to", reduction.to, 1, REDUCED_MAX.min(reduction.from))?;
    }
    let text = item.text.iter().map(|number| number.name.as_str());
    if !item.text.is_empty() && !text.eq(TEXT_STATISTICS) {
        return Err(field(
            "schema.item.text",
            format!("must be empty or name {}, in this order", TEXT_STATISTICS.join(", ")),
        ));
    }
    let mut names = BTreeSet::new();
    check_numbers("schema.item.text", &item.text, &mut names)?;
    check_numbers("schema.item.numbers", &item.numbers, &mut names)
}

fn check_name<'a>(path: &str, name: &'a str, names: &mut BTreeSet<&'a str>) -> Result<(), CheckpointError> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        return Err(field(path, format!("must have a name of 1 to {NAME_BYTES_MAX} bytes")));
    }
    if names.insert(name) { Ok(()) } else { Err(field(path, "is there twice")) }
}

fn check_values(path: &str, values: &[String]) -> Result<(), CheckpointError> {
    within(path, values.len(), 0, VALUES_MAX)?;
    if values.is_sorted_by(|a, b| a < b) {
        Ok(())
    } else {
        Err(field(path, "must be sorted by their bytes, each value once"))
    }
}

fn check_numbers<'a>(path: &str, numbers: &'a [Number], names: &mut BTreeSet<&'a str>) -> Result<(), CheckpointError> {
    within(path, numbers.len(), 0, FIELDS_MAX)?;
    for number in numbers {
        let path = format!("{path}.{}", number.name);
        check_name(&path, &number.name, names)?;
        if !number.mean.is_finite() {
            return Err(field(format!("{path}.mean"), "must be finite"));
        }
        if !(number.scale.is_finite() && number.scale > 0.0) {
            return Err(field(format!("{path}.scale"), "must be finite and above 0"));
        }
    }
    Ok(())
}

/// Appends the numbers of tensor `name`, which must have shape `dims`.
fn read(file: &SafeTensors<'_>, name: &str, dims: &[usize], out: &mut Vec<f32>) -> Result<(), CheckpointError> {
    let view = file.tensor(name).map_err(|_| tensor(name, "is missing"))?;
    if view.dtype() != Dtype::F32 {
        return Err(tensor(name, format!("must be F32, is {:?}", view.dtype())));
    }
    if view.shape() != dims {
        return Err(tensor(name, format!("must have shape {dims:?}, has {:?}", view.shape())));
    }
    let (numbers, _) = view.data().as_chunks::<4>();
    out.reserve(numbers.len());
    for bytes in numbers {
        let number = f32::from_le_bytes(*bytes);
        if !number.is_finite() || number.abs() > WEIGHT_MAX {
            return Err(tensor(name, format!("has a number that is not finite or beyond {WEIGHT_MAX}")));
        }
        out.push(number);
    }
    Ok(())
}
