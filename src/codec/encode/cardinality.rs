//! Whether a dictionary would serve a column, from its first rows.
//!
//! Parquet's writer begins every column with a dictionary and gives it up when it outgrows its page: until then each
//! value is hashed, and some of them are written twice. A column whose dictionary is bound to be given up had better
//! not begin one.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow_schema::DataType;
use twox_hash::XxHash3_64;

/// Values looked at: enough to tell 50,000 distinct values from twice as many, and some milliseconds for a hundred
/// columns.
const VALUES_MAX: usize = 16 << 10;

/// Bits of the sketch that values are counted in: eight for each value, so that few share one, and a sketch that stays
/// in the first cache.
const SKETCH_BITS: usize = VALUES_MAX * 8;

/// Below so many values nothing is gained either way, and too little is known.
const VALUES_MIN: usize = 1 << 10;

/// Whether the distinct values of a column that begins with these chunks are expected to take more than `limit_bytes`.
/// False for types that have no dictionary, and for what is too short to say. Depends on the values alone (invariant
/// I5).
pub(super) fn outgrows<'a>(chunks: impl Iterator<Item = &'a ArrayRef>, limit_bytes: usize) -> bool {
    let mut seen = Seen::new();
    for chunk in chunks {
        seen.add(chunk);
        if seen.values >= VALUES_MAX {
            break;
        }
    }
    seen.outgrows(limit_bytes)
}

/// Values seen, as a bit for each hash: "A Linear-Time Probabilistic Counting Algorithm for Database Applications",
/// Whang et al., 1990.
struct Seen {
    sketch: Vec<u64>,
    bits_set: usize,
    values: usize,
    bytes: usize,
}

impl Seen {
    fn new() -> Self {
        Self { sketch: vec![0; SKETCH_BITS / 64], bits_set: 0, values: 0, bytes: 0 }
    }

    fn add(&mut self, array: &ArrayRef) {
        match array.data_type() {
            DataType::Utf8 => self.add_all(array.as_string::<i32>().iter().flatten().map(str::as_bytes), 4),
            DataType::LargeUtf8 => self.add_all(array.as_string::<i64>().iter().flatten().map(str::as_bytes), 4),
            DataType::Binary => self.add_all(array.as_binary::<i32>().iter().flatten(), 4),
            DataType::LargeBinary => self.add_all(array.as_binary::<i64>().iter().flatten(), 4),
            other => {
                let Some(width) = other.primitive_width() else { return };
                let data = array.to_data();
                let bytes = &data.buffers()[0].as_slice()[data.offset() * width..];
                let valid =
                    bytes.chunks_exact(width).take(data.len()).enumerate().filter(|(row, _)| data.is_valid(*row));
                self.add_all(valid.map(|(_, value)| value), 0);
            }
        }
    }

    /// Adds values, each of which takes `more` bytes beside its own.
    fn add_all<'a>(&mut self, values: impl Iterator<Item = &'a [u8]>, more: usize) {
        for value in values.take(VALUES_MAX - self.values.min(VALUES_MAX)) {
            let bit = (XxHash3_64::oneshot(value) % SKETCH_BITS as u64) as usize;
            let (word, mask) = (&mut self.sketch[bit / 64], 1 << (bit % 64));
            self.bits_set += usize::from(*word & mask == 0);
            *word |= mask;
            self.values += 1;
            self.bytes += value.len() + more;
        }
    }

    fn outgrows(&self, limit_bytes: usize) -> bool {
        if self.values < VALUES_MIN {
            return false;
        }
        let mean_bytes = self.bytes as f64 / self.values as f64;
        expected_distinct(self.distinct(), self.values) * mean_bytes > limit_bytes as f64
    }

    /// Distinct values among those seen, by the share of bits that none of them hit.
    fn distinct(&self) -> usize {
        let bits = SKETCH_BITS as f64;
        let free = (SKETCH_BITS - self.bits_set) as f64 / bits;
        ((-free.ln() * bits).round() as usize).min(self.values)
    }
}

/// Of how many equally likely values `draws` draws show `distinct` on average: the inverse of `d = n (1 - e^(-draws /
/// n))`.
fn expected_distinct(distinct: usize, draws: usize) -> f64 {
    let (distinct, draws) = (distinct as f64, draws as f64);
    // Beyond, the difference to "all are distinct" is less than one draw.
    let most = draws * draws;
    let shown = |n: f64| n * -(-draws / n).exp_m1();
    if distinct >= shown(most) {
        return most;
    }
    let (mut low, mut high) = (distinct, most);
    // Halves the range of 2^28 down to less than one.
    for _ in 0..40 {
        let middle = (low + high) / 2.0;
        if shown(middle) < distinct { low = middle } else { high = middle }
    }
    high
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::hash::{DefaultHasher, Hasher};
    use std::sync::Arc;

    use arrow::array::{BooleanArray, Int64Array, StringArray};

    use super::*;

    const LIMIT: usize = 1 << 20;

    /// The `row`th of a scattered sequence over `0..distinct`.
    fn scattered(row: u64, distinct: u64) -> u64 {
        let mut hasher = DefaultHasher::new();
        hasher.write_u64(row);
        hasher.finish() % distinct
    }

    fn check(name: &str, array: impl Array + 'static, expected: bool) {
        let array: ArrayRef = Arc::new(array);
        assert_eq!(outgrows([&array].into_iter(), LIMIT), expected, "{name}");
        // However it is cut.
        let chunks: Vec<ArrayRef> =
            (0..array.len()).step_by(777).map(|at| array.slice(at, 777.min(array.len() - at))).collect();
        assert_eq!(outgrows(chunks.iter(), LIMIT), expected, "{name} in pieces");
    }

    #[test]
    fn dictionaries_that_would_be_given_up_are_told() {
        let numbers =
            |distinct: u64| Int64Array::from_iter_values((0..20_000).map(|row| scattered(row, distinct) as i64));
        let texts = |distinct: u64| {
            StringArray::from_iter_values((0..20_000).map(|row| format!("user-{:06}", scattered(row, distinct))))
        };
        check("ordinals", Int64Array::from_iter_values(0..20_000), true);
        check("few numbers", numbers(50), false);
        check("numbers that fit", numbers(80_000), false);
        check("numbers that do not", numbers(200_000), true);
        check("texts that fit", texts(40_000), false);
        check("texts that do not", texts(150_000), true);
        check("nulls", Int64Array::from(vec![None; 20_000]), false);
        check(
            "few values among nulls",
            Int64Array::from_iter((0..20_000).map(|row| (row % 40 == 0).then_some(row))),
            false,
        );
        check("too short", Int64Array::from_iter_values(0..1000), false);
        check("no dictionary", BooleanArray::from(vec![true; 20_000]), false);
    }

    #[test]
    fn distinct_values_are_estimated_from_a_sample() {
        for distinct in [1u64, 100, 5_000, 50_000, 500_000] {
            let draws = 16_384;
            let seen = (0..draws).map(|row| scattered(row, distinct)).collect::<HashSet<_>>().len();
            let estimate = expected_distinct(seen, draws as usize) / distinct as f64;
            assert!((0.8..1.25).contains(&estimate), "{distinct}: {estimate}");
        }
        assert_eq!(expected_distinct(1000, 1000), 1e6);
    }
}
