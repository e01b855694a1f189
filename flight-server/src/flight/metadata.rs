//! Lists that BI tools ask for: catalogs, schemas, tables, types of tables, keys.
//!
//! Invariants
//! * Names match without regard to case: JDBC tools send them upper-cased, and names that differ only in case are
//!   refused in a project.
//! * Patterns are LIKE's, with `\` as the escape.
//! * Rows are in the order that Flight SQL prescribes.
//!
//! Not here: what the server can do (`sql_info`).

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, Int32Array, RecordBatch, StringArray};
use arrow::compute::kernels::comparison::ilike;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow_flight::sql::metadata::{GetCatalogsBuilder, GetDbSchemasBuilder, GetTablesBuilder};
use arrow_flight::sql::{CommandGetCatalogs, CommandGetDbSchemas, CommandGetPrimaryKeys, CommandGetTables};
use ingot_query::{Session, TableEntry, TableName};
use tonic::Status;

use crate::error::{encoding, malformed, status};
use crate::flight::served::CALLER;

/// Every type a table may have.
const TABLE_TYPES: &[&str] = &["TABLE", "VIEW"];

/// Whether a name matches a LIKE pattern; no pattern matches all.
fn matches(pattern: Option<&str>, name: &str) -> Result<bool, Status> {
    let Some(pattern) = pattern else { return Ok(true) };
    let pattern = StringArray::new_scalar(pattern);
    let found = ilike(&StringArray::from(vec![name]), &pattern).map_err(|e| malformed("the pattern", e))?;
    Ok(found.len() == 1 && found.value(0))
}

fn is(wanted: Option<&str>, name: &str) -> bool {
    wanted.is_none_or(|w| w.eq_ignore_ascii_case(name))
}

fn flight(error: arrow_flight::error::FlightError) -> Status {
    Status::from(error)
}

/// One row for the one catalog.
pub(crate) fn catalogs(session: &Session) -> Result<RecordBatch, Status> {
    let mut rows: GetCatalogsBuilder = CommandGetCatalogs {}.into_builder();
    rows.append(session.catalog_name());
    rows.build().map_err(flight)
}

pub(crate) async fn schemas(session: &Session, query: CommandGetDbSchemas) -> Result<RecordBatch, Status> {
    let mut rows = GetDbSchemasBuilder::new(None::<String>, None::<String>);
    if is(query.catalog.as_deref(), session.catalog_name()) {
        for namespace in session.namespaces(CALLER).await.map_err(|e| status(&e))? {
            if matches(query.db_schema_filter_pattern.as_deref(), &namespace)? {
                rows.append(session.catalog_name(), namespace);
            }
        }
    }
    rows.build().map_err(flight)
}

pub(crate) async fn tables(session: &Session, query: CommandGetTables) -> Result<RecordBatch, Status> {
    let mut rows = GetTablesBuilder::new(
        None::<String>,
        None::<String>,
        None::<String>,
        Vec::<String>::new(),
        query.include_schema,
    );
    if is(query.catalog.as_deref(), session.catalog_name()) {
        for table in session.tables(CALLER, query.include_schema).await.map_err(|e| status(&e))? {
            let kind =
                query.table_types.is_empty() || query.table_types.iter().any(|t| t.eq_ignore_ascii_case(table.kind));
            if kind
                && matches(query.db_schema_filter_pattern.as_deref(), &table.namespace)?
                && matches(query.table_name_filter_pattern.as_deref(), &table.name)?
            {
                let schema = described(session.catalog_name(), &table);
                rows.append(session.catalog_name(), &table.namespace, &table.name, table.kind, &schema)
                    .map_err(flight)?;
            }
        }
    }
    rows.build().map_err(flight)
}

/// A table's schema with the column metadata that Flight SQL defines.
fn described(catalog: &str, table: &TableEntry) -> Schema {
    let fields: Vec<Field> = table
        .schema
        .fields()
        .iter()
        .map(|f| {
            let mut about = HashMap::from([
                ("ARROW:FLIGHT:SQL:CATALOG_NAME".to_owned(), catalog.to_owned()),
                ("ARROW:FLIGHT:SQL:SCHEMA_NAME".to_owned(), table.namespace.clone()),
                ("ARROW:FLIGHT:SQL:TABLE_NAME".to_owned(), table.name.clone()),
                ("ARROW:FLIGHT:SQL:TYPE_NAME".to_owned(), type_name(f.data_type())),
                ("ARROW:FLIGHT:SQL:IS_AUTO_INCREMENT".to_owned(), "0".to_owned()),
                ("ARROW:FLIGHT:SQL:IS_READ_ONLY".to_owned(), "1".to_owned()),
                ("ARROW:FLIGHT:SQL:IS_SEARCHABLE".to_owned(), "1".to_owned()),
                ("ARROW:FLIGHT:SQL:IS_CASE_SENSITIVE".to_owned(), "1".to_owned()),
            ]);
            if let DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) = f.data_type() {
                about.insert("ARROW:FLIGHT:SQL:PRECISION".to_owned(), precision.to_string());
                about.insert("ARROW:FLIGHT:SQL:SCALE".to_owned(), scale.to_string());
            }
            f.as_ref().clone().with_metadata(about)
        })
        .collect();
    let comment = table.comment.iter().map(|c| ("comment".to_owned(), c.clone())).collect();
    Schema::new_with_metadata(fields, comment)
}

/// The dialect's name of a type.
pub(crate) fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Boolean => "BOOLEAN".to_owned(),
        DataType::Int8 | DataType::UInt8 => "TINYINT".to_owned(),
        DataType::Int16 | DataType::UInt16 => "SMALLINT".to_owned(),
        DataType::Int32 | DataType::UInt32 => "INT".to_owned(),
        DataType::Int64 | DataType::UInt64 => "BIGINT".to_owned(),
        DataType::Float16 | DataType::Float32 => "REAL".to_owned(),
        DataType::Float64 => "DOUBLE".to_owned(),
        DataType::Decimal32(p, s)
        | DataType::Decimal64(p, s)
        | DataType::Decimal128(p, s)
        | DataType::Decimal256(p, s) => {
            format!("DECIMAL({p}, {s})")
        }
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "VARCHAR".to_owned(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => "BINARY".to_owned(),
        DataType::FixedSizeBinary(16) => "UUID".to_owned(),
        DataType::FixedSizeBinary(n) => format!("BINARY({n})"),
        DataType::Date32 | DataType::Date64 => "DATE".to_owned(),
        DataType::Time32(_) | DataType::Time64(_) => "TIME".to_owned(),
        DataType::Timestamp(_, None) => "TIMESTAMP".to_owned(),
        DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => "TIMESTAMPTZ".to_owned(),
        DataType::Timestamp(_, Some(_)) => "TIMESTAMPTZ".to_owned(),
        DataType::List(f) | DataType::LargeList(f) | DataType::FixedSizeList(f, _) => {
            format!("ARRAY<{}>", type_name(f.data_type()))
        }
        DataType::Struct(fields) => {
            let fields: Vec<String> =
                fields.iter().map(|f| format!("{} {}", f.name(), type_name(f.data_type()))).collect();
            format!("STRUCT<{}>", fields.join(", "))
        }
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(kv) => {
                let kv: Vec<String> = kv.iter().map(|f| type_name(f.data_type())).collect();
                format!("MAP<{}>", kv.join(", "))
            }
            _ => "MAP".to_owned(),
        },
        other => other.to_string().to_uppercase(),
    }
}

pub(crate) fn table_types() -> Result<RecordBatch, Status> {
    batch(&TABLE_TYPES_SCHEMA, vec![Arc::new(StringArray::from(TABLE_TYPES.to_vec()))])
}

/// The columns of PRIMARY KEY (...) NOT ENFORCED, in order.
pub(crate) async fn primary_keys(session: &Session, query: CommandGetPrimaryKeys) -> Result<RecordBatch, Status> {
    let mut found: Vec<TableEntry> = Vec::new();
    if is(query.catalog.as_deref(), session.catalog_name()) {
        let named = |t: &TableEntry| is(Some(&query.table), &t.name) && is(query.db_schema.as_deref(), &t.namespace);
        for t in session.tables(CALLER, false).await.map_err(|e| status(&e))?.into_iter().filter(named) {
            let name = TableName::new(t.namespace, t.name);
            found.extend(session.table(CALLER, &name).await.map_err(|e| status(&e))?);
        }
    }
    let keys: Vec<(&TableEntry, usize, &String)> =
        found.iter().flat_map(|t| t.primary_key.iter().enumerate().map(move |(i, k)| (t, i, k))).collect();
    let strings = |f: &dyn Fn(&(&TableEntry, usize, &String)) -> String| -> ArrayRef {
        Arc::new(keys.iter().map(|k| Some(f(k))).collect::<StringArray>())
    };
    let sequence: Int32Array = keys.iter().map(|(_, i, _)| i32::try_from(i + 1).ok()).collect();
    batch(
        &PRIMARY_KEYS_SCHEMA,
        vec![
            strings(&|_| session.catalog_name().to_owned()),
            strings(&|(t, _, _)| t.namespace.clone()),
            strings(&|(t, _, _)| t.name.clone()),
            strings(&|(_, _, k)| (*k).clone()),
            strings(&|(t, _, _)| format!("{}_pk", t.name)),
            Arc::new(sequence),
        ],
    )
}

/// There are no foreign keys.
pub(crate) fn foreign_keys() -> RecordBatch {
    RecordBatch::new_empty(Arc::clone(&FOREIGN_KEYS_SCHEMA))
}

fn batch(schema: &SchemaRef, columns: Vec<ArrayRef>) -> Result<RecordBatch, Status> {
    RecordBatch::try_new(Arc::clone(schema), columns).map_err(encoding)
}

pub(crate) fn schemas_schema() -> SchemaRef {
    GetDbSchemasBuilder::new(None::<String>, None::<String>).schema()
}

pub(crate) fn catalogs_schema() -> SchemaRef {
    CommandGetCatalogs {}.into_builder().schema()
}

pub(crate) fn tables_schema(include_schema: bool) -> SchemaRef {
    GetTablesBuilder::new(None::<String>, None::<String>, None::<String>, Vec::<String>::new(), include_schema).schema()
}

fn schema(fields: Vec<(&str, DataType, bool)>) -> SchemaRef {
    Arc::new(Schema::new(fields.into_iter().map(|(n, t, nullable)| Field::new(n, t, nullable)).collect::<Vec<_>>()))
}

pub(crate) static TABLE_TYPES_SCHEMA: LazyLock<SchemaRef> =
    LazyLock::new(|| schema(vec![("table_type", DataType::Utf8, false)]));

pub(crate) static PRIMARY_KEYS_SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    schema(vec![
        ("catalog_name", DataType::Utf8, true),
        ("db_schema_name", DataType::Utf8, true),
        ("table_name", DataType::Utf8, false),
        ("column_name", DataType::Utf8, false),
        ("key_name", DataType::Utf8, true),
        ("key_sequence", DataType::Int32, false),
    ])
});

pub(crate) static FOREIGN_KEYS_SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    schema(vec![
        ("pk_catalog_name", DataType::Utf8, true),
        ("pk_db_schema_name", DataType::Utf8, true),
        ("pk_table_name", DataType::Utf8, false),
        ("pk_column_name", DataType::Utf8, false),
        ("fk_catalog_name", DataType::Utf8, true),
        ("fk_db_schema_name", DataType::Utf8, true),
        ("fk_table_name", DataType::Utf8, false),
        ("fk_column_name", DataType::Utf8, false),
        ("key_sequence", DataType::Int32, false),
        ("fk_key_name", DataType::Utf8, true),
        ("pk_key_name", DataType::Utf8, true),
        ("update_rule", DataType::UInt8, false),
        ("delete_rule", DataType::UInt8, false),
    ])
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_like_and_ignore_case() {
        let yes = |p: &str, n: &str| matches(Some(p), n).unwrap();
        assert!(yes("%", "stats"));
        assert!(yes("ST_TS", "stats"));
        assert!(yes("vehicle\\_%", "vehicle_events"));
        assert!(!yes("vehicle\\_%", "vehicles"));
        assert!(!yes("", "stats"));
        assert!(matches(None, "stats").unwrap());
    }

    #[test]
    fn types_have_the_dialects_names() {
        let item = Arc::new(Field::new("item", DataType::Utf8, true));
        assert_eq!(type_name(&DataType::List(item)), "ARRAY<VARCHAR>");
        assert_eq!(type_name(&DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))), "TIMESTAMPTZ");
        assert_eq!(type_name(&DataType::Decimal128(10, 2)), "DECIMAL(10, 2)");
    }
}
