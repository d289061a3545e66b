//! `spec.schema`: what the rows look like.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::api::scalar::wire_enum;
use crate::model::settings;

wire_enum! {
    /// Where types come from.
    SchemaMode -> settings::SchemaMode {
        /// From the data.
        Infer = "Infer",
        /// Every column is text.
        Strings = "Strings",
        /// From `columns`.
        Declared = "Declared",
    }
}

wire_enum! {
    /// What may change from run to run.
    Evolution -> settings::Evolution {
        /// New columns are added and numbers widened.
        AddColumns = "AddColumns",
        /// Any change fails.
        Fail = "Fail",
        /// What does not fit goes into `_rescued_data`.
        Rescue = "Rescue",
    }
}

/// What the rows look like.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.mode != 'Declared' || size(self.columns) > 0").message("mode Declared needs columns").field_path(".mode"))]
#[x_kube(validation = Rule::new("self.mode != 'Declared' || self.columns.all(c, has(c.type))").message("mode Declared needs a type for every column").field_path(".columns"))]
pub struct SchemaSpec {
    /// Infer: types from the data, every row verified. Strings: every column is text. Declared: exactly the columns of
    /// columns; a value that does not parse is a bad record.
    #[serde(default = "mode")]
    pub mode: SchemaMode,
    /// Casts (type) and renames (from), for every table; with mode Declared the whole schema. A column that an object
    /// does not have is ignored, and null with Declared.
    #[serde(default)]
    #[schemars(length(max = 2000))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_owned()]))]
    pub columns: Vec<ColumnSpec>,
    /// Input columns that are left out.
    #[serde(default)]
    #[schemars(length(max = 2000), inner(length(min = 1, max = 255)))]
    pub drop: Vec<String>,
    /// What may change from run to run. AddColumns: new columns are added and numbers widened, anything else fails with
    /// the column and both types. Fail: any change fails. Rescue: what does not fit goes into the column _rescued_data
    /// as JSON text.
    #[serde(default = "evolution")]
    pub evolution: Evolution,
}

fn mode() -> SchemaMode {
    SchemaMode::Infer
}

fn evolution() -> Evolution {
    Evolution::AddColumns
}

impl Default for SchemaSpec {
    fn default() -> Self {
        SchemaSpec { mode: mode(), columns: Vec::new(), drop: Vec::new(), evolution: evolution() }
    }
}

/// One column.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ColumnSpec {
    /// The column's name in the output.
    #[schemars(length(min = 1, max = 255))]
    pub name: String,
    /// boolean, int8 to int64, uint8 to uint64, float32, float64, decimal(p,s), utf8, json, binary, date32,
    /// timestamp(s|ms|us|ns) in UTC, or timestamp(s|ms|us|ns, no zone), which is wall-clock time. Absent: as inferred.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32))]
    pub data_type: Option<String>,
    /// The column's name in the input, where it differs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub from: Option<String>,
}
