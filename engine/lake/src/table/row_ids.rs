//! Row lineage of format version 3: what a row's id is, and the sequence number of its last change.
//!
//! ```text
//!   list: first_row_id of a manifest ─▶ each file without one: the sum of rows before it ─▶ each row: its position
//!   a file that rows were copied to has both of each row in columns of its own, and those win
//! ```
//!
//! Invariants
//! * A manifest that a list gives no first row id has files without ids, whatever it says.
//! * A deleted entry takes no ids.
//!
//! Source: Iceberg's specification, "Row Lineage" and "First Row ID Inheritance".
//!
//! Not here: which ids a new snapshot takes (`commit::prepare`), the columns of a scan (`read::row_positions`).

use std::sync::{Arc, LazyLock};

use iceberg::spec::{
    DataFile, DataFileBuilder, Manifest, ManifestContentType, ManifestEntry, NestedField, NestedFieldRef,
    PrimitiveType, Type,
};
use ingot_model::place;

use crate::error::{LakeError, Result};

/// Field ids of both columns (Iceberg, "Reserved field ids").
const ROW_ID_FIELD_ID: i32 = 2_147_483_540;
const LAST_UPDATED_FIELD_ID: i32 = 2_147_483_539;

static FIELDS: LazyLock<[NestedFieldRef; 2]> = LazyLock::new(|| {
    [(ROW_ID_FIELD_ID, place::ROW_ID), (LAST_UPDATED_FIELD_ID, place::LAST_UPDATED)]
        .map(|(id, name)| Arc::new(NestedField::optional(id, name, Type::Primitive(PrimitiveType::Long))))
});

/// The columns that keep both with rows that are copied; NULL for a row that is new.
pub(crate) fn fields() -> &'static [NestedFieldRef; 2] {
    &FIELDS
}

/// A manifest whose live files have their first row ids, given the one that its list has for it.
///
/// # Errors
/// Ids past the range of 64 bits.
pub(crate) fn inherited(manifest: Manifest, first_row_id: Option<u64>) -> Result<Manifest> {
    let is_data = *manifest.metadata().content() == ManifestContentType::Data;
    let has_own = manifest.entries().iter().any(|entry| entry.data_file().first_row_id().is_some());
    if !is_data || first_row_id.is_none() && !has_own {
        return Ok(manifest);
    }
    let (entries, metadata) = manifest.into_parts();
    let spec = metadata.partition_spec().spec_id();
    let mut next = first_row_id.map(i64::try_from).transpose().map_err(|_| past_range())?;
    let mut numbered = Vec::with_capacity(entries.len());
    for entry in entries {
        let own = entry.data_file().first_row_id();
        let first = match next {
            None => None,
            Some(_) if own.is_some() || !entry.is_alive() => own,
            Some(first) => {
                let rows = i64::try_from(entry.record_count()).ok();
                next = Some(rows.and_then(|rows| first.checked_add(rows)).ok_or_else(past_range)?);
                Some(first)
            }
        };
        numbered.push(match first == own {
            true => ManifestEntry::clone(&entry),
            false => {
                ManifestEntry { data_file: begun_at(entry.data_file(), spec, first)?, ..ManifestEntry::clone(&entry) }
            }
        });
    }
    Ok(Manifest::new(metadata, numbered))
}

fn past_range() -> LakeError {
    LakeError::Damaged("row ids are past the range of 64 bits".into())
}

/// A data file of a partition spec with another first row id.
fn begun_at(file: &DataFile, spec_id: i32, first_row_id: Option<i64>) -> Result<DataFile> {
    let mut builder = DataFileBuilder::default();
    if let Some(order) = file.sort_order_id() {
        builder.sort_order_id(order);
    }
    builder
        .content(file.content_type())
        .file_path(file.file_path().to_owned())
        .file_format(file.file_format())
        .partition(file.partition().clone())
        .partition_spec_id(spec_id)
        .record_count(file.record_count())
        .file_size_in_bytes(file.file_size_in_bytes())
        .column_sizes(file.column_sizes().clone())
        .value_counts(file.value_counts().clone())
        .null_value_counts(file.null_value_counts().clone())
        .nan_value_counts(file.nan_value_counts().clone())
        .lower_bounds(file.lower_bounds().clone())
        .upper_bounds(file.upper_bounds().clone())
        .key_metadata(file.key_metadata().map(<[u8]>::to_vec))
        .split_offsets(file.split_offsets().map(<[i64]>::to_vec))
        .equality_ids(file.equality_ids())
        .first_row_id(first_row_id)
        .referenced_data_file(file.referenced_data_file())
        .content_offset(file.content_offset())
        .content_size_in_bytes(file.content_size_in_bytes())
        .build()
        .map_err(|error| LakeError::Corrupt(format!("data file: {error}")))
}

#[cfg(test)]
mod tests {
    use iceberg::spec::{
        DataContentType, DataFileFormat, FormatVersion, ManifestMetadata, ManifestStatus, PartitionSpec, Schema, Struct,
    };

    use super::*;

    fn manifest(entries: &[(ManifestStatus, u64, Option<i64>)]) -> Manifest {
        let field = NestedField::optional(1, "id", Type::Primitive(PrimitiveType::Long));
        let schema = Arc::new(Schema::builder().with_fields([Arc::new(field)]).build().unwrap());
        let spec = PartitionSpec::builder(Arc::clone(&schema)).with_spec_id(4).build().unwrap();
        let metadata = ManifestMetadata::builder()
            .schema_id(schema.schema_id())
            .schema(schema)
            .partition_spec(spec)
            .format_version(FormatVersion::V3)
            .content(ManifestContentType::Data)
            .build();
        let entry = |(status, rows, first): &(ManifestStatus, u64, Option<i64>)| {
            let file = DataFileBuilder::default()
                .content(DataContentType::Data)
                .file_path("s3://b/f.parquet".into())
                .file_format(DataFileFormat::Parquet)
                .partition(Struct::empty())
                .partition_spec_id(4)
                .record_count(*rows)
                .file_size_in_bytes(9)
                .key_metadata(Some(vec![1]))
                .split_offsets(Some(vec![4]))
                .sort_order_id(1)
                .first_row_id(*first)
                .build()
                .unwrap();
            ManifestEntry::builder().status(*status).snapshot_id(1).sequence_number(2).data_file(file).build()
        };
        Manifest::new(metadata, entries.iter().map(entry).collect())
    }

    fn ids(manifest: &Manifest) -> Vec<Option<i64>> {
        manifest.entries().iter().map(|entry| entry.data_file().first_row_id()).collect()
    }

    /// As the specification's example: those with an id keep it, the others count on from the manifest's by their rows.
    #[test]
    fn ids_are_inherited_in_order() {
        use ManifestStatus::{Added, Deleted, Existing};
        let of = manifest(&[(Existing, 10, Some(7)), (Added, 25, None), (Deleted, 9, None), (Existing, 50, None)]);
        let numbered = inherited(of, Some(1_000)).unwrap();
        assert_eq!(ids(&numbered), [Some(7), Some(1_000), None, Some(1_025)]);
        // Nothing else of an entry changes.
        let was = manifest(&[(Added, 25, Some(1_000))]);
        assert_eq!(numbered.entries()[1], was.entries()[0]);
        // Without one in the list there are none.
        assert_eq!(ids(&inherited(manifest(&[(Added, 1, None), (Added, 1, Some(3))]), None).unwrap()), [None, None]);
        let past = inherited(manifest(&[(Added, 2, None)]), Some(u64::try_from(i64::MAX).unwrap() - 1));
        assert!(matches!(past, Err(LakeError::Damaged(_))));
    }
}
