//! The values that a key column takes among the keys looked for.

use datafusion::common::ScalarValue;

/// The range of one key column. Keys match as `IS NOT DISTINCT FROM` does, so NULL is a value of its own.
///
/// ```
/// use datafusion::common::ScalarValue;
/// use ingot_model::KeyRange;
///
/// // The keys 3, 9 and NULL.
/// let (min, max) = (ScalarValue::from(3_i64), ScalarValue::from(9_i64));
/// let range = KeyRange { column: "trip".into(), min, max, has_null: true };
/// assert!(range.min <= ScalarValue::from(7_i64) && ScalarValue::from(7_i64) <= range.max);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct KeyRange {
    /// A public column.
    pub column: String,
    /// The least value that is not NULL; NULL when there is none.
    pub min: ScalarValue,
    /// The greatest value that is not NULL; NULL when there is none.
    pub max: ScalarValue,
    /// Whether NULL is among the keys.
    pub has_null: bool,
}
