//! What a table format's commit needs to know of a data file beside its key: Delta's `add`, Iceberg's `data_file`.

use std::sync::Arc;

use super::scalar::Scalar;

/// The value of each rule of `partitionBy`, in their order, typed as the rule's column or transform; `None` for null,
/// and for an empty text, which a hive directory cannot tell from it.
pub type PartitionValues = Arc<[Option<Scalar>]>;

/// One data file. Kept in memory beside its [`StagedFile`](super::manifest::StagedFile), and in no manifest yet.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DataFile {
    /// Its partition; without values where files have none.
    pub partition: PartitionValues,
    /// What it holds.
    pub statistics: FileStatistics,
}

/// What one file holds, as far as its writer knows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FileStatistics {
    /// Rows.
    pub rows: u64,
    /// Bytes of the file.
    pub bytes: u64,
    /// By leaf column, in the file's order. Empty where nothing is known: text formats have none.
    pub columns: Vec<ColumnStatistics>,
    /// Offsets at which readers may begin, ascending: where row groups do. Empty for text.
    pub split_offsets: Vec<u64>,
}

/// What one leaf column of a file holds.
#[derive(Clone, Debug, PartialEq)]
pub struct ColumnStatistics {
    /// The names from the column down to the leaf, as the file's schema has them: `tags`, `list`, `element`.
    pub path: Vec<String>,
    /// Bytes of its chunks, compressed.
    pub compressed_bytes: u64,
    /// Values, nulls among them. Inside of lists that is not the number of rows.
    pub values: u64,
    /// Nulls, those of what is around the leaf too; `None`: not known.
    pub nulls: Option<u64>,
    /// Floats that are no number; `None`: not known, or no floats.
    pub nans: Option<u64>,
    /// No value is less, NaN aside; `None`: not known, or there is none.
    pub min: Option<Bound>,
    /// No value is greater, NaN aside; `None`: not known, or there is none.
    pub max: Option<Bound>,
}

/// A bound of a column's values.
#[derive(Clone, Debug, PartialEq)]
pub struct Bound {
    /// The bound.
    pub value: Scalar,
    /// Whether it is one of the values. Long texts are truncated, and not every writer says whether its own are.
    pub exact: bool,
}

impl FileStatistics {
    /// Bytes of memory that the columns' statistics keep.
    pub fn columns_memory_bytes(&self) -> usize {
        let bound = |bound: &Option<Bound>| bound.as_ref().map_or(0, |bound| bound.value.memory_bytes());
        let names = |path: &[String]| path.iter().map(|name| size_of::<String>() + name.capacity()).sum::<usize>();
        let column = |column: &ColumnStatistics| {
            size_of::<ColumnStatistics>() + names(&column.path) + bound(&column.min) + bound(&column.max)
        };
        self.columns.iter().map(column).sum()
    }
}
