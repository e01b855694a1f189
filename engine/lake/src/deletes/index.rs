//! Which delete files of a snapshot apply to which of its data files.
//!
//! Invariants (Iceberg, "Scan Planning")
//! * Position deletes and vectors apply at their own sequence number and below, equality deletes below it alone.
//! * A vector applies to the data file that it names, and position delete files do not apply beside it.
//! * Position delete files apply in their own partition; equality deletes too, or everywhere when their spec has none.
//! * A file that is left out for its bounds takes out no row.
//!
//! Not here: the rows themselves (`applied`).

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::datatypes::DataType;
use iceberg::spec::{DataFile, Datum, Literal, PrimitiveLiteral, Struct, Type};

use crate::deletes::file::{DeleteFile, DeleteKind, EqualityGroup, FileDeletes, canonical, may_lie_between};
use crate::error::{LakeError, Result};
use crate::read::value_order::scalar;
use crate::table::Table;
use crate::table::schema;

/// A data file, as deletes look at it.
pub(crate) struct Target<'a> {
    pub(crate) data_file: &'a DataFile,
    /// Data sequence number.
    pub(crate) sequence_number: i64,
    pub(crate) spec_id: i32,
}

/// A partition of a spec.
type Partition = (i32, Struct);
type Files = Vec<Arc<DeleteFile>>;

/// Delete files by what they apply to.
#[derive(Debug, Default)]
pub(crate) struct DeleteIndex {
    /// Vectors and position delete files of one data file each, by its canonical location.
    of_file: HashMap<String, Files>,
    /// Position delete files of any of a partition's data files.
    of_partition: HashMap<Partition, Files>,
    equality: HashMap<Partition, Vec<Arc<EqualityGroup>>>,
    everywhere: Vec<Arc<EqualityGroup>>,
    /// Types of the columns of equality deletes that have bounds to go by.
    types: HashMap<i32, DataType>,
}

impl DeleteIndex {
    /// An index of these delete files.
    pub(crate) fn of(table: &Table, deletes: &[Arc<DeleteFile>]) -> Self {
        let mut index = Self::default();
        let is_everywhere =
            |spec_id: i32| table.metadata().partition_spec_by_id(spec_id).is_some_and(|spec| spec.is_unpartitioned());
        // Ordered, so that the same files give the same index.
        let mut groups: BTreeMap<Vec<i32>, HashMap<Option<Partition>, Files>> = BTreeMap::new();
        for delete in deletes {
            let partition = || (delete.spec_id, promoted(delete.data_file.partition()));
            match &delete.kind {
                DeleteKind::Vector { referenced, .. } => index.name(referenced, delete),
                DeleteKind::Positions { referenced: Some(path), .. } => index.name(path, delete),
                DeleteKind::Positions { paths: (Some(low), Some(high)), .. } if low == high => index.name(low, delete),
                DeleteKind::Positions { .. } => {
                    index.of_partition.entry(partition()).or_default().push(Arc::clone(delete));
                }
                DeleteKind::Equality { ids } => {
                    let at = (!is_everywhere(delete.spec_id)).then(partition);
                    groups.entry(ids.clone()).or_default().entry(at).or_default().push(Arc::clone(delete));
                }
            }
        }
        for (ids, places) in groups {
            index.types.extend(ids.iter().filter_map(|id| Some((*id, comparable(table, *id)?))));
            for (place, mut files) in places {
                files.sort_by_key(|file| file.sequence_number);
                let group = Arc::new(EqualityGroup { ids: ids.clone(), files });
                match place {
                    Some(partition) => index.equality.entry(partition).or_default().push(group),
                    None => index.everywhere.push(group),
                }
            }
        }
        index
    }

    /// Whether it has no delete file.
    pub(crate) fn is_empty(&self) -> bool {
        self.of_file.is_empty()
            && self.of_partition.is_empty()
            && self.equality.is_empty()
            && self.everywhere.is_empty()
    }

    /// The canonical locations of the data files that its delete files are about, if each is about one alone.
    pub(crate) fn named(&self) -> Option<impl Iterator<Item = &String>> {
        let is_told = self.of_partition.is_empty() && self.equality.is_empty() && self.everywhere.is_empty();
        is_told.then(|| self.of_file.keys())
    }

    fn name(&mut self, path: &str, delete: &Arc<DeleteFile>) {
        self.of_file.entry(canonical(path).to_owned()).or_default().push(Arc::clone(delete));
    }

    /// The deletes that may take rows out of a data file.
    ///
    /// # Errors
    /// `Corrupt` when two vectors apply.
    pub(crate) fn applying(&self, file: &Target<'_>) -> Result<FileDeletes> {
        let path = file.data_file.file_path();
        let mut found = FileDeletes::default();
        let named = self.of_file.get(canonical(path)).into_iter().flatten();
        for delete in named.filter(|delete| delete.sequence_number >= file.sequence_number) {
            match &delete.kind {
                DeleteKind::Vector { .. } => {
                    if found.vector.replace(Arc::clone(delete)).is_some() {
                        return Err(LakeError::Corrupt(format!(
                            "the data file \"{path}\" has two deletion vectors, of which one may be"
                        )));
                    }
                }
                _ => found.positions.push(Arc::clone(delete)),
            }
        }
        let has_partitions = !self.of_partition.is_empty() || !self.equality.is_empty();
        let partition = has_partitions.then(|| (file.spec_id, promoted(file.data_file.partition())));
        let beside = partition.as_ref().and_then(|at| self.of_partition.get(at)).into_iter().flatten();
        for delete in beside.filter(|delete| delete.sequence_number >= file.sequence_number) {
            if let DeleteKind::Positions { paths: (low, high), .. } = &delete.kind
                && may_lie_between(path, low.as_deref(), high.as_deref())
            {
                found.positions.push(Arc::clone(delete));
            }
        }
        if found.vector.is_some() {
            found.positions.clear();
        }
        let here = partition.as_ref().and_then(|at| self.equality.get(at)).into_iter().flatten();
        for group in here.chain(&self.everywhere) {
            let later = group.files.partition_point(|delete| delete.sequence_number <= file.sequence_number);
            let mut later = group.files.get(later..).unwrap_or_default().iter();
            if later.any(|delete| self.may_match(&group.ids, &delete.data_file, file.data_file)) {
                found.equality.push(Arc::clone(group));
            }
        }
        Ok(found)
    }

    /// Whether a row of `data` may have the values of one of `deletes` in all these columns.
    fn may_match(&self, ids: &[i32], deletes: &DataFile, data: &DataFile) -> bool {
        ids.iter().all(|id| {
            let Some(of) = self.types.get(id) else { return true };
            let may_be_null = |file: &DataFile| file.null_value_counts().get(id) != Some(&0);
            if may_be_null(deletes) && may_be_null(data) {
                return true;
            }
            let bound = |bounds: &HashMap<i32, Datum>| bounds.get(id).and_then(|d| scalar(d.literal(), of));
            let apart = |high: &DataFile, low: &DataFile| {
                let (high, low) = (bound(high.upper_bounds()), bound(low.lower_bounds()));
                high.zip(low).is_some_and(|(high, low)| high.partial_cmp(&low) == Some(Ordering::Less))
            };
            !apart(deletes, data) && !apart(data, deletes)
        })
    }
}

/// The type of a column whose bounds mean the same to every writer: at the top, no float (bounds leave NaN out), no UUID.
fn comparable(table: &Table, id: i32) -> Option<DataType> {
    let field = table.metadata().current_schema().as_struct().field_by_id(id)?;
    match field.field_type.as_ref() {
        Type::Primitive(_) => schema::to_arrow(&field.field_type)
            .ok()
            .filter(|of| !of.is_floating() && !matches!(of, DataType::FixedSizeBinary(_))),
        _ => None,
    }
}

/// A partition with its numbers as wide as they may be promoted to: manifests of before a promotion hold the narrow ones.
pub(crate) fn promoted(partition: &Struct) -> Struct {
    let wide = |value: &Option<Literal>| match value {
        Some(Literal::Primitive(PrimitiveLiteral::Int(value))) => {
            Some(Literal::Primitive(PrimitiveLiteral::Long(i64::from(*value))))
        }
        Some(Literal::Primitive(PrimitiveLiteral::Float(value))) => {
            Some(Literal::Primitive(PrimitiveLiteral::Double(f64::from(value.0).into())))
        }
        value => value.clone(),
    };
    partition.fields().iter().map(wide).collect()
}
